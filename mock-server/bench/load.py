"""A small HTTP load generator for machines without wrk: one process, raw non-blocking sockets, no pauses.

    python load.py HOST PORT CONNECTIONS SECONDS < request

Sends the bytes from standard input over and over on each connection and reads replies framed by Content-Length;
opens a new connection when the server closes. Prints one JSON object: requests, seconds, and errors (replies other
than 200).
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import sys
import time

_LENGTH = re.compile(rb"\r\nContent-Length: *(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nConnection: *close", re.IGNORECASE)


class Client:
    """One connection that always has one request under way."""

    def __init__(self, address: tuple[str, int], request: bytes, selector: selectors.BaseSelector) -> None:
        self._address, self._request, self._selector = address, request, selector
        self.requests = self.errors = 0
        self._connect()

    def _connect(self) -> None:
        self._socket = socket.create_connection(self._address)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(self._socket, selectors.EVENT_READ, self)
        self._send()

    def _send(self) -> None:
        self._received = b""
        self._socket.sendall(self._request)

    def on_readable(self) -> None:
        """Take what came; when the reply is whole, begin the next request."""
        block = self._socket.recv(65536)
        self._received += block
        head, blank, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not block:
            self.errors += 1
            self._reconnect()
        elif blank and length and len(body) >= int(length[1]):
            self.requests += 1
            self.errors += not head.startswith(b"HTTP/1.1 200 ")
            if _CLOSE.search(head):
                self._reconnect()
            else:
                self._send()

    def _reconnect(self) -> None:
        self.close()
        self._connect()

    def close(self) -> None:
        """Close the connection."""
        self._selector.unregister(self._socket)
        self._socket.close()


def main(host: str, port: str, connections: str, seconds: str) -> None:
    """Generate load for some seconds and print the result."""
    request = sys.stdin.buffer.read()
    with selectors.DefaultSelector() as selector:
        clients = [Client((host, int(port)), request, selector) for _ in range(int(connections))]
        started = time.monotonic()
        end = started + float(seconds)
        while time.monotonic() < end:
            for key, _ in selector.select(0.1):
                key.data.on_readable()
        elapsed = time.monotonic() - started
        for client in clients:
            client.close()
    done = sum(client.requests for client in clients)
    print(json.dumps({"requests": done, "seconds": elapsed, "errors": sum(client.errors for client in clients)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
