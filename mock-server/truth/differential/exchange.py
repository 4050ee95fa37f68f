"""One request over one raw connection: send exact bytes, take everything that comes back."""

from __future__ import annotations

import contextlib
import socket
import time

from differential.corpus import Await, Message, Reply

Address = tuple[str, int]

# How long silence is watched where the server is expected to wait for more; the other is only a limit for hangs.
QUIET = 1.0
HANG = 30.0
_BLOCK = 65536


class HungError(Exception):
    """The server neither answered nor closed."""


def exchange(address: Address, message: Message) -> Reply:
    """Send a message and read until the server closes, or stays open as the message expects.

    A reset after a reply counts as a close: whether unread request bytes turn one into the other is a race. Raises
    HungError, and OSError when there is no connection.
    """
    received = bytearray()
    with socket.create_connection(address, timeout=HANG) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        closed = _send(connection, message, received)
        if not closed:
            closed = _read_to_end(connection, received, QUIET if message.stays_open else HANG)
    if not closed and not message.stays_open:
        raise HungError(f"{message.id}: no end after {HANG:.0f} s; received {bytes(received)!r}")
    return Reply(bytes(received), closed)


def _send(connection: socket.socket, message: Message, received: bytearray) -> bool:
    """Send all parts; returns True when the server closed while an expected text was awaited."""
    # A server may refuse and close before it has read everything.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for run in _runs(message):
            if not isinstance(run, Await):
                connection.sendall(run)
                continue
            while run.text not in received:
                block = connection.recv(_BLOCK)
                if not block:
                    return True
                received += block
        if message.shutdown:
            connection.shutdown(socket.SHUT_WR)
    return False


def _runs(message: Message) -> list[bytes | Await]:
    """Join neighbouring bytes, so that they go out in one call."""
    runs: list[bytes | Await] = []
    for part in message.send:
        if runs and isinstance(part, bytes) and isinstance(runs[-1], bytes):
            runs[-1] += part
        else:
            runs.append(part)
    return runs


def _read_to_end(connection: socket.socket, received: bytearray, limit: float) -> bool:
    deadline = time.monotonic() + limit
    while (left := deadline - time.monotonic()) > 0:
        connection.settimeout(left)
        try:
            block = connection.recv(_BLOCK)
        except TimeoutError:
            break
        except ConnectionResetError:
            return True
        if not block:
            return True
        received += block
    return False
