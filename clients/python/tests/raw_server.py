"""A server that records raw requests and answers with scripted bytes, so that tests see both sides of the wire."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType

PATIENCE = 30.0  # seconds: a limit for hangs, never waited for

Play = Callable[[socket.socket], bool]
"""Answers one request; returns whether the connection stays open."""


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    raw: bytes
    connection: int

    @property
    def line(self) -> str:
        """``POST /score HTTP/1.1``."""
        return self._head[0]

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Names and values in the order and spelling of the wire."""
        pairs = (line.split(": ", 1) for line in self._head[1:])
        return [(name, value) for name, value in pairs]

    def header(self, name: str) -> str | None:
        """The value of the only header of this name, whatever its case."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) <= 1, values
        return values[0] if values else None

    @property
    def body(self) -> bytes:
        """What came after the empty line."""
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def _head(self) -> list[str]:
        return self.raw.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")


class RawServer:
    """Listens on a free port of 127.0.0.1.

    Requests beyond the plays are recorded too; then their connection is closed or, with ``echo``, every row's first
    cell is its prediction.
    """

    def __init__(
        self,
        *plays: Play,
        tls: ssl.SSLContext | None = None,
        echo: bool = False,
        reads: Callable[[socket.socket], bytes] | None = None,
    ) -> None:
        self._reads = reads or read_request
        self.requests: list[Request] = []
        self.connections = 0
        self.hung_up = threading.Event()
        """Set when a client has closed a connection."""
        self.ended = threading.Event()
        """Set when the server has closed a connection by itself."""
        self._echo = echo
        self._plays = deque(plays)
        self._tls = tls
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def still_open(self) -> int:
        """How many connections neither side has closed."""
        with self._lock:
            return len(self._open)

    @property
    def uri(self) -> str:
        """The scoring URI."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/score"

    def __enter__(self) -> RawServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            still_open = list(self._open)
        for peer in still_open:
            with suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            peer.settimeout(PATIENCE)
            with self._lock:
                self.connections += 1
                self._open.add(peer)
            thread = threading.Thread(target=self._serve, args=(peer, self.connections), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, peer: socket.socket, number: int) -> None:
        stream = peer
        try:
            if self._tls:
                stream = self._tls.wrap_socket(peer, server_side=True)
                stream.settimeout(PATIENCE)
            while raw := self._reads(stream):
                with self._lock:
                    self.requests.append(Request(raw, number))
                    play = self._plays.popleft() if self._plays else first_cells(raw) if self._echo else close()
                if not play(stream):
                    stream.close()
                    self.ended.set()
                    break
            else:
                self.hung_up.set()
        except OSError:
            self.hung_up.set()
        finally:
            with self._lock:
                self._open.discard(peer)
            stream.close()


def read_request(stream: socket.socket) -> bytes:
    """Read one request, its body included; empty when the client hung up before it."""
    raw = b""
    while b"\r\n\r\n" not in raw:
        chunk = stream.recv(65536)
        if not chunk:
            return b""
        raw += chunk
    head, _, body = raw.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    missing = int(lengths[0]) - len(body) if lengths else 0
    parts = [raw]
    while missing > 0:
        chunk = stream.recv(65536)
        if not chunk:
            break
        parts.append(chunk)
        missing -= len(chunk)
    return b"".join(parts)


def message(body: bytes | object, status: int = 200, *headers: tuple[str, str], reason: str = "X") -> bytes:
    """An HTTP/1.1 message with Content-Length; a body that is not bytes is written as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, f"Content-Length: {len(raw)}", "", ""]).encode("latin-1") + raw


def reply(body: bytes | object, status: int = 200, *headers: tuple[str, str]) -> Play:
    """Answer with a whole message and keep the connection."""
    return raw(message(body, status, *headers))


def first_cells(request: bytes) -> Play:
    """Predict every row's first cell."""
    rows = json.loads(request.partition(b"\r\n\r\n")[2])["data"]
    return reply([row[0] for row in rows])


def raw(data: bytes) -> Play:
    """Send these bytes and keep the connection."""

    def play(stream: socket.socket) -> bool:
        stream.sendall(data)
        return True

    return play


def close(data: bytes = b"") -> Play:
    """Send these bytes, then close in order (FIN)."""

    def play(stream: socket.socket) -> bool:
        stream.sendall(data)
        return False

    return play


def reset(data: bytes = b"") -> Play:
    """Send these bytes, then reset (RST)."""

    def play(stream: socket.socket) -> bool:
        stream.sendall(data)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    return play


def silence(data: bytes = b"") -> Play:
    """Send these bytes, then nothing until the client hangs up."""

    def play(stream: socket.socket) -> bool:
        stream.sendall(data)
        return True  # the server then waits for a next request

    return play


def drip(first: bytes, each: bytes) -> Play:
    """Send ``first``, then ``each`` again and again until the client hangs up."""

    def play(stream: socket.socket) -> bool:
        stream.sendall(first)
        pace = threading.Event()
        while not pace.wait(0.02):
            stream.sendall(each)
        return False

    return play


def eventually(is_so: Callable[[], bool]) -> bool:
    """Whether it becomes so, looked at again and again for as long as a hang would be waited for."""
    end, pace = time.monotonic() + PATIENCE, threading.Event()
    while not is_so():
        if time.monotonic() > end:
            return False
        pace.wait(0.005)
    return True


@contextmanager
def refused_port() -> Iterator[int]:
    """A port that nobody listens on, kept from others."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]
