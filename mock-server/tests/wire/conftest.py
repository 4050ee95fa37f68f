"""A mock in a thread, and a client that looks at bytes and at how a connection ends."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import pytest
from scoring_mock.http_types import ConnectionFault
from scoring_mock.server import Options, Server
from scoring_mock.wire.connection import Limits

HANG = 10.0  # seconds after which a test has failed: a limit for hangs, not an expectation


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


class Raw:
    """A connection that hides nothing; with a context it speaks TLS, over memory, so that a reset stays a reset."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None, name: str = "127.0.0.1") -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=HANG)
        self.tls: ssl.SSLObject | None = None
        if context is not None:
            self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
            try:
                self._pump(self.tls.do_handshake)
            except BaseException:
                self.sock.close()
                raise

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data:  # sending nothing would take a reset that is waiting to be read
            self.sock.sendall(data)

    def _pump(self, step: Callable[[], Any]) -> Any:
        """Do a TLS step, and move bytes between memory and socket until it is done."""
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self._flush()
                data = self.sock.recv(65536)
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            except ssl.SSLError:
                self._flush()
                raise
            else:
                self._flush()
                return result

    def send(self, data: bytes) -> None:
        if self.tls is None:
            self.sock.sendall(data)
        else:
            tls = self.tls
            self._pump(lambda: tls.write(data))

    def receive(self) -> bytes:
        """Return what comes next; nothing is the end. A TLS connection that is cut raises SSLEOFError."""
        if self.tls is None:
            return self.sock.recv(65536)
        tls = self.tls
        try:
            return bytes(self._pump(lambda: tls.read(65536)))
        except ssl.SSLZeroReturnError:
            return b""

    def until(self, mark: bytes) -> bytes:
        data = b""
        while mark not in data:
            piece = self.receive()
            assert piece, f"ended before {mark!r}: {data!r}"
            data += piece
        return data

    def rest(self) -> tuple[bytes, str]:
        """Return all that comes until the end, and how it ends: `fin`, `reset`, or `cut` (TLS without a goodbye)."""
        data = b""
        try:
            while piece := self.receive():
                data += piece
        except ConnectionResetError:
            return data, "reset"
        except ssl.SSLEOFError:
            return data, "cut"
        return data, "fin"

    def is_silent(self, seconds: float = 0.2) -> bool:
        """Return whether the connection is open and nothing comes for a while."""
        self.sock.settimeout(seconds)
        try:
            self.sock.recv(1)
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(HANG)
        return False


@dataclasses.dataclass
class Deployed:
    """A service of the mock under test."""

    mock: Mock
    name: str
    description: dict[str, Any]

    def port(self, listener: str = "http") -> int:
        return port_of(self.description["uris"][listener]["scoring"])

    @property
    def path(self) -> str:
        return str(self.description["scoring_path"])

    def request(self, body: bytes = b'{"data": [[1,2,3,4,5,6,7,8,9,10]]}', extra: bytes = b"") -> bytes:
        return (
            f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n"
        ).encode() + (extra + b"\r\n" + body)

    def connect(self, listener: str = "http") -> Raw:
        return Raw(self.port(listener), self.mock.context if listener.startswith("https") else None)

    def ask(self, listener: str = "http") -> tuple[bytes, str]:
        """Send one request and return all that comes back, and how the connection ended."""
        with self.connect(listener) as raw:
            raw.send(self.request())
            return raw.rest()

    def ask_close(self) -> bytes:
        """Send one request that asks for the connection to be closed, and return the reply."""
        with self.connect() as raw:
            raw.send(self.request(extra=b"Connection: close\r\n"))
            return raw.rest()[0]

    def journal(self) -> dict[str, Any]:
        journals: dict[str, Any] = self.mock.admin("/journals", {"names": [self.name]})["journals"]
        found: dict[str, Any] = journals[self.name]
        return found

    def connections(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.journal()["connections"]
        return found

    def requests(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.journal()["requests"]
        return found


class Mock:
    """A server in an event loop of its own thread."""

    def __init__(self, options: Options) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.server: Server = self.call(lambda: Server(options, self._loop))
        self.info: dict[str, Any] = self.call(lambda: self.server.info)

    def call(self, function: Any) -> Any:
        """Run a function in the loop's thread."""

        async def run() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(HANG)

    def close(self) -> None:
        self.call(self.server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(HANG)
        self._loop.close()

    @staticmethod
    def wait_for(condition: Callable[[], bool]) -> None:
        """Wait for something that happens in the mock; a hang fails."""
        end = time.monotonic() + HANG
        while not condition():
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.01)

    @property
    def context(self) -> ssl.SSLContext:
        """A client's context that trusts the mock's authority and nothing else."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.info["ca_pem"])
        return context

    def port(self, listener: str) -> int:
        return port_of(self.info["listeners"][listener])

    def ask_admin(
        self, path: str, body: Any = None, headers: dict[str, str] | None = None, method: str | None = None
    ) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port("admin"), timeout=HANG)
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        fields = {"Content-Type": "application/json"} if data is not None else {}
        connection.request(method or ("GET" if data is None else "POST"), path, data, {**fields, **(headers or {})})
        reply = connection.getresponse()
        answer = json.loads(reply.read())
        connection.close()
        return reply.status, answer

    def admin(self, path: str, body: Any = None) -> dict[str, Any]:
        status, answer = self.ask_admin(path, body)
        assert status == 200, answer
        assert isinstance(answer, dict)
        return answer

    def deploy(self, **spec: Any) -> Deployed:
        description = self.admin("/services", {"services": [{"profile": "aks-v1", "auth": "off", **spec}]})["services"][
            0
        ]
        return Deployed(self, description["name"], description)

    def own_listeners(self, *names: str, faults: Sequence[ConnectionFault | None] = ()) -> Deployed:
        """Deploy a service with listeners of its own."""
        service = self.deploy()
        opened: dict[str, str] = self.call(lambda: self.server.listeners.open(service.name, list(names), faults))
        service.description["uris"] |= {name: {"scoring": url + service.path} for name, url in opened.items()}
        return service

    def scripted(self, *replies: dict[str, Any], **spec: Any) -> Deployed:
        return self.deploy(replies=list(replies), **spec)


@pytest.fixture(scope="session")
def mock() -> Iterator[Mock]:
    running = Mock(Options())
    yield running
    running.close()


@pytest.fixture(scope="session")
def hasty_mock() -> Iterator[Mock]:
    """A mock that loses patience soon."""
    limits = Limits(head=0.3, body=0.3, request=1.0, idle=0.3, write=0.3, linger=0.3, max_body=1_000_000)
    running = Mock(Options(listeners=("http", "https", "admin"), limits=limits))
    yield running
    running.close()


@pytest.fixture
def raw() -> type[Raw]:
    return Raw


@pytest.fixture(scope="session")
def hello() -> bytes:
    """The first bytes of a TLS client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()
