"""The ports: which exist, how they are bound, and the connections that come in through them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final, Literal

from scoring_mock.http_types import ConnectionFault, SpecError
from scoring_mock.wire.connection import BrokenConnection, Connection, Limits, Site
from scoring_mock.wire.journal import ConnectionRecord, Journals
from scoring_mock.wire.poller import poller_for

if TYPE_CHECKING:
    from scoring_mock.certificates import Certificate, Certificates

MAX_CONNECTIONS: Final = 10_000
BACKLOG: Final = 1024
_ACCEPTS_AT_ONCE: Final = 64
_OUT_OF_DESCRIPTORS: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

_TLS12: Final = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
_TLS13: Final = (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3)
_BOTH: Final = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of listener."""

    tls: bool = False
    certificate: Certificate = "good"
    versions: tuple[ssl.TLSVersion, ssl.TLSVersion] = _BOTH
    fault: ConnectionFault | None = None
    speaks_tls: bool = True
    refuses: bool = False


# `https` is TLS 1.2 only, as services of v1 are (W37); the other https kinds differ in the one thing that they name.
KINDS: Final[dict[str, Kind]] = {
    "http": Kind(),
    "https": Kind(tls=True, versions=_TLS12),
    "https-tls12-tls13": Kind(tls=True),
    "https-tls13": Kind(tls=True, versions=_TLS13),
    "https-wrong-host": Kind(tls=True, certificate="wrong-host"),
    "https-expired": Kind(tls=True, certificate="expired"),
    "https-unknown-ca": Kind(tls=True, certificate="unknown-ca"),
    "https-no-tls": Kind(tls=True, speaks_tls=False),
    "https-handshake-close": Kind(tls=True, fault="close"),
    "https-handshake-reset": Kind(tls=True, fault="reset"),
    "https-handshake-silence": Kind(tls=True, fault="silence"),
    "http-refused": Kind(refuses=True),
}


class PortsExhausted(SpecError):
    """The range of ports given at start has none left."""


class CannotListen(Exception):
    """An address cannot be had; `in_use` tells whether somebody else has it."""

    def __init__(self, host: str, port: int, error: OSError) -> None:
        """Keep the address and say why in one line."""
        super().__init__(f"cannot listen on {host}" + (f":{port}" if port else "") + f": {error.strerror or error}")
        self.host = host
        self.port = port
        self.in_use = error.errno == errno.EADDRINUSE


class Listener:
    """One listening socket."""

    def __init__(
        self,
        owner: Listeners,
        name: str,
        kind: Kind,
        site: Site,
        sock: socket.socket,
        *,
        service: str | None = None,
        faults: Sequence[ConnectionFault | None] = (),
    ) -> None:
        """Serve `site` on a bound socket; each of the first connections suffers one of `faults`."""
        self.name = name
        self.kind = kind
        self.site = site
        self.service = service
        self._owner = owner
        self._sock = sock
        self._faults = iter(faults)
        self.port: int = sock.getsockname()[1]
        if not kind.refuses:
            sock.listen(BACKLOG)
            owner.poller.add_reader(sock.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_AT_ONCE):
            try:
                sock, address = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in _OUT_OF_DESCRIPTORS:
                    self._rest()
                    return
                raise
            self._owner.take(self, sock, address, next(self._faults, None))

    def _rest(self) -> None:
        """Accept nothing for a moment: the process has no descriptor left, and the loop must not spin."""
        fd = self._sock.fileno()
        self._owner.poller.remove_reader(fd)
        self._owner.loop.call_later(0.1, self._resume)

    def _resume(self) -> None:
        if self._sock.fileno() >= 0:
            self._owner.poller.add_reader(self._sock.fileno(), self._accept)

    def close(self) -> None:
        """Stop listening."""
        if self._sock.fileno() >= 0:
            self._owner.poller.remove_reader(self._sock.fileno())
            self._sock.close()


class Listeners:
    """All listeners of a server and their connections. Implements `http_types.Ports`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        journals: Journals,
        limits: Limits,
        certificates: Callable[[], Certificates],
        *,
        host: str = "127.0.0.1",
        public_host: str | None = None,
        ports: range | None = None,
        own_ports: Mapping[str, int] | None = None,
    ) -> None:
        """Listen on `host`, call it `public_host` in addresses, and take the ports from `ports`, else any free ones.

        `certificates` is called when the first TLS connection comes. `own_ports` are for the first service that opens
        listeners of those names.
        """
        self.loop = loop
        self.poller = poller_for(loop)
        self._journals = journals
        self._limits = limits
        self._certificates = certificates
        self._host = host
        self._public_host = public_host or host
        self._ports = ports
        self._own_ports = dict(own_ports or {})
        self._site: Site | None = None
        self._shared: dict[str, Listener] = {}
        self._own: dict[str, list[Listener]] = {}
        self._connections: set[Connection] = set()
        self._numbers = itertools.count(1)
        self._sweep_every = max(0.02, min(1.0, limits.shortest / 4))
        self._sweeping = False

    def serve(self, site: Site, names: Iterable[str], ports: dict[str, int]) -> None:
        """Open the shared data-plane listeners; `ports` fixes the port of some of them."""
        self._site = site
        for name in names:
            self.add(name, KINDS[name], site, port=ports.get(name, 0))

    def add(
        self, name: str, kind: Kind, site: Site, *, host: str | None = None, port: int = 0, must: bool = True
    ) -> None:
        """Open one shared listener; if it need not have the port, any will do when that is taken.

        Raises CannotListen when the address cannot be had.
        """
        host = host or self._host
        try:
            sock = self._bind(host, port, kind)
        except CannotListen as error:
            if must or not error.in_use:
                raise
            sock = self._bind(host, 0, kind)
        self._shared[name] = Listener(self, name, kind, site, sock)

    def address(self, name: str) -> str:
        """Return the base URL of a shared listener."""
        return self._url(self._shared[name])

    def shared(self) -> dict[str, str]:
        """Return the base URL of each shared data-plane listener by name."""
        return {name: self._url(item) for name, item in self._shared.items() if item.site is self._site}

    def open(
        self,
        service: str,
        names: list[str],
        faults: Sequence[ConnectionFault | None] = (),
        *,
        newest_tls: Literal["1.2", "1.3"] = "1.2",
    ) -> dict[str, str]:
        """Listen for one service; see `http_types.Ports.open`."""
        assert self._site is not None
        opened = self._own.setdefault(service, [])
        result: dict[str, str] = {}
        for name in names:
            kind = KINDS.get(name)
            if kind is None:
                raise SpecError(f"there is no listener {name!r}; there are {', '.join(KINDS)}")
            if name == "https" and newest_tls == "1.3":
                kind = KINDS["https-tls12-tls13"]
            try:
                sock = self._bind(self._host, self._own_ports.pop(name, 0), kind)
            except CannotListen as error:
                if error.in_use:
                    raise
                raise SpecError(f"no listener for {service!r}: {error}") from error
            listener = Listener(self, name, kind, self._site, sock, service=service, faults=faults)
            opened.append(listener)
            result[name] = self._url(listener)
        return result

    def close(self, service: str) -> None:
        """Stop listening for a service, end its connections and forget its journal.

        An idle connection to a shared listener stays: its client may be about to use it for another service.
        """
        for listener in self._own.pop(service, ()):
            listener.close()
        for connection in list(self._connections):
            if connection.is_for(service):
                connection.close()
        self._journals.drop(service)

    def count(self, service: str) -> int:
        """Return how many connections a service has: to listeners of its own, or in the middle of a request."""
        return sum(connection.is_for(service) for connection in self._connections)

    def stop(self) -> None:
        """Close everything."""
        for listener in self._shared.values():
            listener.close()
        for listeners in self._own.values():
            for listener in listeners:
                listener.close()
        for connection in list(self._connections):
            connection.close()

    def _url(self, listener: Listener) -> str:
        host = f"[{self._public_host}]" if ":" in self._public_host else self._public_host
        return f"{'https' if listener.kind.tls else 'http'}://{host}:{listener.port}"

    def _bind(self, host: str, port: int, kind: Kind) -> socket.socket:
        if port or self._ports is None:
            return _bound(host, port, exclusive=kind.refuses)
        for candidate in self._ports:
            try:
                return _bound(host, candidate, exclusive=kind.refuses)
            except CannotListen as error:
                if not error.in_use:
                    raise
        raise PortsExhausted(f"no port is free in {self._ports.start}-{self._ports.stop - 1}; give a wider --ports")

    # --- connections -------------------------------------------------------------------------------------------

    def take(
        self, listener: Listener, sock: socket.socket, address: tuple[str, int], fault: ConnectionFault | None
    ) -> None:
        """Start a connection."""
        if len(self._connections) >= MAX_CONNECTIONS:
            sock.close()
            return
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        record = ConnectionRecord(next(self._numbers), listener.name, monotonic())
        if listener.service is not None:
            self._journals.of(listener.service).add_connection(record)
        rest = (
            self.loop,
            self.poller,
            sock,
            address[:2],
            record,
            listener.service,
            listener.site,
            self._limits,
            self._connections.discard,
        )
        kind = listener.kind
        fault = fault or kind.fault
        connection: Connection
        if kind.tls and kind.speaks_tls:
            from scoring_mock.wire.tls import TlsConnection

            context = self._certificates().context(kind.certificate, *kind.versions)
            connection = TlsConnection(context, fault, *rest)
        elif fault is not None:
            connection = BrokenConnection(fault, *rest)
        else:
            connection = Connection(*rest)
        self._connections.add(connection)
        connection.start()
        if not self._sweeping:
            self._sweeping = True
            self.loop.call_later(self._sweep_every, self._sweep)

    def _sweep(self) -> None:
        """Act on deadlines; one timer for all connections, and none while there are none."""
        now = monotonic()
        for connection in list(self._connections):
            connection.check_time(now)
        self._sweeping = bool(self._connections)
        if self._sweeping:
            self.loop.call_later(self._sweep_every, self._sweep)


def _bound(host: str, port: int, *, exclusive: bool = False) -> socket.socket:
    """Return a bound socket. Raises CannotListen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:  # no descriptor left
        raise CannotListen(host, port, error) from error
    try:
        if not exclusive:  # with it, others could have a port on which nobody listens
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise CannotListen(host, port, error) from error
    return sock
