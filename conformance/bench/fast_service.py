"""A scoring service that costs next to nothing, so that a benchmark measures its client.

    python fast_service.py ROWS REPLY_BYTES

The key is in SCORING_KEY. The first line on standard output is the scoring URI. Every POST with that key gets the same
ROWS predictions, in a reply of REPLY_BYTES at least (white space fills it); `GET /stats` tells how many
requests were answered, how many bytes came, and the CPU time used. It ends when standard input does.

One thread, one selector; bytes are searched for, not parsed. For anything but a benchmark use the mock.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import socket
import sys
import time
from dataclasses import dataclass

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)", re.IGNORECASE)
_BLOCK_BYTES = 1 << 18


def scoring_reply(rows: int, size: int) -> bytes:
    """Return the reply that the service gives to so many rows, with a body of so many bytes at least."""
    predictions = [150.0 + row % 997 / 7 for row in range(rows)]
    body = json.dumps(predictions).encode()
    room = max(0, size - len(body))
    if rows > 1:
        gap = b", " + b" " * (room // (rows - 1))
        body = body.replace(b", ", gap)
    body = body[:-1].ljust(size - 1) + b"]"
    return _http(
        b"200 OK",
        body,
        b"Server: gunicorn\r\nDate: Tue, 24 Nov 2026 12:00:00 GMT\r\nX-Ms-Run-Function-Failed: False\r\n"
        b"X-Ms-Server-Version: azmlinfsrv/1.5.1\r\nX-Ms-Request-Id: 9811c592-6f32-4bb0-a665-01aef5db7ab8\r\n",
    )


def _http(status: bytes, body: bytes, headers: bytes = b"") -> bytes:
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n"
    return head % (status, len(body), headers) + body


@dataclass
class _Connection:
    """What has come of the request under way."""

    sock: socket.socket
    head: bytes = b""
    missing: int = 0
    """Bytes of the body."""


class Server:
    """Answers until standard input ends."""

    def __init__(self, key: str, reply: bytes) -> None:
        self._credential = f": Bearer {key}\r\n".encode()
        self._reply = reply
        self._block = bytearray(_BLOCK_BYTES)
        self._selector = selectors.DefaultSelector()
        self._requests = 0
        self._bytes = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]

    def serve(self) -> None:
        """Return when standard input has ended."""
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select():
                if isinstance(key.data, _Connection):
                    self._receive(key.data)
                elif key.fileobj is self._listener:
                    self._accept()
                elif not os.read(sys.stdin.fileno(), 4096):
                    return

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(sock, selectors.EVENT_READ, _Connection(sock))

    def _receive(self, connection: _Connection) -> None:
        try:
            count = connection.sock.recv_into(self._block)
        except ConnectionError:
            count = 0
        if count == 0:
            self._selector.unregister(connection.sock)
            connection.sock.close()
            return
        self._bytes += count
        if connection.missing:
            connection.missing -= count
        else:
            connection.head += self._block[:count]
            end = connection.head.find(b"\r\n\r\n")
            if end < 0:
                return
            length = _LENGTH.search(connection.head, 0, end)
            rest = len(connection.head) - end - 4
            connection.head = connection.head[: end + 2]
            connection.missing = (int(length[1]) if length else 0) - rest
        if connection.missing <= 0:
            self._answer(connection)
            connection.head = b""
            connection.missing = 0

    def _answer(self, connection: _Connection) -> None:
        if connection.head.startswith(b"GET /stats "):
            stats = {"requests": self._requests, "bytes": self._bytes, "cpu_seconds": time.process_time()}
            reply = _http(b"200 OK", json.dumps(stats).encode())
        elif self._credential in connection.head:
            self._requests += 1
            reply = self._reply
        else:
            reply = _http(b"401 Unauthorized", b"")
        try:
            sent = connection.sock.send(reply)
            if sent < len(reply):  # a large reply; then there is one caller, who may be waited for
                connection.sock.settimeout(60)
                connection.sock.sendall(memoryview(reply)[sent:])
                connection.sock.setblocking(False)
        except OSError:
            connection.sock.setblocking(False)  # the next read says what happened


def main() -> None:
    """Serve."""
    rows, size = map(int, sys.argv[1:])
    server = Server(os.environ["SCORING_KEY"], scoring_reply(rows, size))
    print(f"http://127.0.0.1:{server.port}/api/v1/service/bench/score", flush=True)
    server.serve()


if __name__ == "__main__":
    main()
