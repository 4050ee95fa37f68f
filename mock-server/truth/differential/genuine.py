"""The genuine inference server, started live on 127.0.0.1."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import environment

from differential.corpus import ServiceSettings
from differential.exchange import Address

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
LAUNCHER = Path(__file__).with_name("launch_genuine.py")
_FOLDER = environment.BUILD / "differential"
_START_LIMIT = 120.0
_POLL = 0.002


class StartError(Exception):
    """A server did not start; the message says why."""


def interpreter() -> Path:
    """Return the Python that has the genuine server; installs it if need be. Raises environment.Unavailable."""
    return environment.ensure("differential", REQUIREMENTS)


def python_version(python: Path) -> str:
    """Return an interpreter's version as `3.11`."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


class Genuine:
    """One running genuine server with one scoring script; a context manager that ends it."""

    def __init__(self, python: Path, name: str, service: ServiceSettings) -> None:
        """Start the process; `ready` waits for it."""
        self._log = _FOLDER / f"{name}.log"
        folder = _FOLDER / "app"  # the server looks for user's documents beside the script's root: there are none
        folder.mkdir(parents=True, exist_ok=True)
        self.address: Address = ("127.0.0.1", _free_port())
        keep = {key: os.environ[key] for key in ("PATH", "HOME", "LD_LIBRARY_PATH") if key in os.environ}
        variables = keep | service.settings | {"PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"}
        # A client is no trusted proxy, although it connects from where gunicorn expects one.
        variables |= {"FORWARDED_ALLOW_IPS": "192.0.2.1"}
        variables |= {"AML_APP_ROOT": str(folder), "AZUREML_MODEL_DIR": str(folder)}
        command = [str(python), str(LAUNCHER), "--entry_script", str(service.script), "--port", str(self.address[1])]
        self.started = time.monotonic()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=variables, cwd=folder
            )

    def ready(self) -> float:
        """Wait for the first `Healthy`; returns the seconds since the start. Raises StartError."""
        while not _is_healthy(self.address):
            if self._process.poll() is not None:
                raise StartError(f"the genuine server ended with {self._process.returncode}; see {self._log}")
            if time.monotonic() - self.started > _START_LIMIT:
                raise StartError(f"the genuine server is not healthy after {_START_LIMIT:.0f} s; see {self._log}")
            time.sleep(_POLL)
        return time.monotonic() - self.started

    @property
    def pid(self) -> int:
        """The process id of gunicorn's master."""
        return self._process.pid

    def close(self) -> None:
        """End the server and wait for it."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self.close()


@contextlib.contextmanager
def running(python: Path, services: dict[str, ServiceSettings]) -> Iterator[dict[str, Genuine]]:
    """Run one genuine server for each service; ends them all."""
    with contextlib.ExitStack() as stack:
        servers = {n: stack.enter_context(Genuine(python, n, service)) for n, service in services.items()}
        for server in servers.values():
            server.ready()
        yield servers


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _is_healthy(address: Address) -> bool:
    try:
        with socket.create_connection(address, timeout=_START_LIMIT) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            received = b""
            while block := connection.recv(4096):
                received += block
    except OSError:
        return False
    return received.endswith(b"\r\n\r\nHealthy")
