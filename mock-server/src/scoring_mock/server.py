"""One running mock: listeners, registry, journals and planes put together, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any, Final

from scoring_mock import __version__
from scoring_mock.admin import AdminPlane
from scoring_mock.http_types import Request, Service
from scoring_mock.service.randomness import random_hex
from scoring_mock.service.registry import Registry
from scoring_mock.wire.connection import Limits, Site
from scoring_mock.wire.journal import Journal, Journals
from scoring_mock.wire.listeners import KINDS, Kind, Listeners

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

    from scoring_mock.certificates import Certificates

ADMIN: Final = "admin"
CONTROL: Final = "control"
ALL_LISTENERS: Final = (*KINDS, ADMIN, CONTROL)


@dataclass(frozen=True)
class Options:
    """How a mock is started."""

    host: str = "127.0.0.1"
    public_host: str | None = None
    admin_host: str = "127.0.0.1"
    listeners: tuple[str, ...] = ALL_LISTENERS
    ports: range | None = None
    fixed_ports: dict[str, int] = field(default_factory=dict)
    wished_ports: dict[str, int] = field(default_factory=dict)  # of admin and control; others will do if they are taken
    own_ports: dict[str, int] = field(default_factory=dict)  # of the first service that has listeners of its own
    limits: Limits = field(default_factory=Limits)
    journal: IO[str] | None = None


class DataPlane:
    """What stands behind the data listeners: the services, and a 404 for everything else."""

    def __init__(self, registry: Registry, journals: Journals) -> None:
        """Route to the services of `registry`, but to those in `interrupted` first."""
        self._registry = registry
        self._journals = journals
        self._nobody = _Nobody(registry)
        self.interrupted: dict[str, Service] = {}

    def route(self, request: Request) -> tuple[Service, Journal | None]:
        """Return the service of a request and its journal."""
        service = self._registry.resolve(request.listener, request)
        if service is None:
            return self._nobody, self._journals.unrouted
        name = service.name
        return self.interrupted.get(name, service), self._journals.of(name)

    def journal_of_unread(self, owner: str | None) -> Journal | None:
        """Return where a request is recorded that could not be read."""
        return self._journals.unrouted if owner is None else self._journals.of(owner)


class _Nobody:
    """Answers where there is no service."""

    name = "-"

    def __init__(self, registry: Registry) -> None:
        self.handle = registry.not_found

    def handle_head(self, request: Request) -> None:
        """Read the body first."""


class Server:
    """A mock server in an event loop."""

    def __init__(self, options: Options, loop: asyncio.AbstractEventLoop) -> None:
        """Open all listeners. Raises CannotListen when an address cannot be had."""
        self.options = options
        self.server_id = random_hex(32)
        self._directory: TemporaryDirectory[str] | None = None
        self.journals = Journals(sink=options.journal)
        self.listeners = Listeners(
            loop,
            self.journals,
            options.limits,
            lambda: self.certificates,
            host=options.host,
            public_host=options.public_host or _reachable(options.host),
            ports=options.ports,
            own_ports=options.own_ports,
        )
        self.registry = Registry(self.listeners)
        self.data_plane = DataPlane(self.registry, self.journals)
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        options = self.options
        data = [name for name in options.listeners if name in KINDS]
        self.listeners.serve(self.data_plane, data, options.fixed_ports)
        if ADMIN in options.listeners:
            host = options.admin_host
            self._add(ADMIN, Kind(), AdminPlane(self.registry, self.journals, lambda: self.info, (host,)), host)
        if CONTROL in options.listeners:
            from scoring_mock.control.plane import ControlPlane

            self._add(CONTROL, Kind(tls=True), ControlPlane(self.registry), options.host)

    def _add(self, name: str, kind: Kind, plane: Site, host: str) -> None:
        port = self.options.fixed_ports.get(name, 0)
        wish = self.options.wished_ports.get(name, 0)
        self.listeners.add(name, kind, plane, host=host, port=port or wish, must=bool(port))

    @cached_property
    def certificates(self) -> Certificates:
        """The certificates of the TLS listeners, made on first use."""
        from scoring_mock.certificates import Certificates  # half of the time of a start, and often not needed

        extra = self.options.public_host
        return Certificates((extra,) if extra else ())

    @cached_property
    def ca_file(self) -> str:
        """The file that holds the certificate to trust; it ends with the server."""
        from pathlib import Path
        from tempfile import TemporaryDirectory

        self._directory = TemporaryDirectory(prefix="scoring-mock-")
        path = Path(self._directory.name) / "ca.pem"
        path.write_text(self.certificates.authority_pem, encoding="ascii")
        return str(path)

    @cached_property
    def info(self) -> dict[str, Any]:
        """The object of the first line and of `GET /info`."""
        names = self.options.listeners
        info: dict[str, Any] = {
            "scoring_mock": __version__,
            "server_id": self.server_id,
            "pid": os.getpid(),
            "listeners": {name: self.listeners.address(name) for name in names},
        }
        if any((name in KINDS and KINDS[name].tls) or name == CONTROL for name in names):
            info |= {"ca_file": self.ca_file, "ca_pem": self.certificates.authority_pem}
        return info

    def close(self) -> None:
        """Close all listeners and connections, keep the journal, remove the CA file."""
        self.listeners.stop()
        self.journals.close()
        if self._directory is not None:
            self._directory.cleanup()


def _reachable(host: str) -> str:
    """Return an address at which a server on `host` can be reached from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104


async def run(
    options: Options, started: Callable[[Server], Awaitable[None]], *, until_stdin_closes: bool = False
) -> None:
    """Run a mock until SIGTERM, SIGINT or the end of standard input; `started` is awaited when it listens.

    Raises CannotListen when an address cannot be had.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = Server(options, loop)
    try:
        if until_stdin_closes:
            _watch_stdin(loop, stop)
        await started(server)
        gc.freeze()  # what a start leaves lives as long as the process: no collection need look at it again
        await stop.wait()
    finally:
        server.close()
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task():
                task.cancel()


def _watch_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Stop when standard input ends: a parent that was killed leaves nothing behind."""

    def readable() -> None:
        with contextlib.suppress(BlockingIOError):
            if not os.read(0, 4096):
                loop.remove_reader(0)
                stop.set()

    try:
        loop.add_reader(0, readable)
    except PermissionError:  # a regular file or /dev/null, which epoll does not watch: it has ended already
        stop.set()
