"""Replies that take their time or go wrong on purpose, byte by byte."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from time import monotonic
from typing import Any, Final, Protocol

from scoring_mock.http_types import Fault, Response
from scoring_mock.wire.response import LAST_CHUNK, body_pieces, chunk_bytes, head_bytes, interim_bytes

_ENOUGH: Final = 600.0  # seconds after which even an endless reply ends
_ENDLESS_PIECE: Final = b"x" * (64 * 1024)
_ENDLESS_FIELD: Final = b"X-Filler: " + b"x" * 1000 + b"\r\n"


class Gone(Exception):
    """The connection is closed: there is nobody left to answer."""


class Line(Protocol):
    """What a fault may do to a connection."""

    def write(self, data: bytes) -> None:
        """Send bytes."""

    async def drain(self) -> None:
        """Wait until all bytes are with the kernel. Raises Gone."""

    def close(self, *, reset: bool = False) -> None:
        """End the connection now, with a FIN or an RST."""

    def end_output(self, *, orderly: bool = True) -> None:
        """Close; not at once if the peer still sends. On TLS, `orderly` says goodbye before."""

    def reply_begins(self, status: int | None) -> None:
        """Tell the journal that the reply goes out now; None when that is no status line."""

    def reply_is_out(self, *, close: bool) -> None:
        """Go on with the next request, or close."""

    def end_on_reuse(self, *, reset: bool) -> None:
        """Answer the next request by ending the connection."""

    def end_when_idle(self, seconds: float, *, reset: bool) -> None:
        """End the connection after a time without a further request."""


async def play(line: Line, response: Response) -> None:
    """Send a reply as it was scripted. Raises Gone when the peer leaves before the end."""
    fault = response.fault
    for status, headers in response.interim:
        line.write(interim_bytes(status, headers))
    if response.delay:
        await asyncio.sleep(response.delay)
    no_status = fault is not None and (
        fault.kind in ("raw", "status-line") or (fault.kind in _BREAKS and fault.place == "start")
    )
    line.reply_begins(None if no_status else response.status)
    if fault is None:
        await _send(line, head_bytes(response), b"".join(body_pieces(response)), response)
        line.reply_is_out(close=response.close)
    elif fault.kind in _BREAKS:
        await _break_off(line, response, fault)
    else:
        await _KINDS[fault.kind](line, response, fault)


async def _send(line: Line, head: bytes, body: bytes, response: Response) -> None:
    """Send head and body, dripping if that was asked for."""
    if response.drip is None:
        line.write(head + body)
    else:
        step, seconds = response.drip
        slow = memoryview(head + body if response.drip_head else body)
        if not response.drip_head:
            line.write(head)
        for start in range(0, len(slow), step):
            await line.drain()
            await asyncio.sleep(seconds)
            line.write(bytes(slow[start : start + step]))
    await line.drain()


# --- a reply that breaks off ------------------------------------------------------------------------------------

_BREAKS: Final = ("close", "reset", "silence")


async def _break_off(line: Line, response: Response, fault: Fault) -> None:
    head = head_bytes(response)
    body = b""
    if fault.place == "start":
        head = b""
    elif fault.place == "headers":
        head = head[: fault.at]
    else:
        body = _part_of_body(response, fault.at)
    if head:
        await _send(line, head, body, response)
    if fault.kind == "reset":
        line.close(reset=True)
    elif fault.kind == "close":
        line.end_output(orderly=False)
    else:
        await asyncio.Event().wait()  # until the peer leaves or the service is dropped


def _part_of_body(response: Response, size: int) -> bytes:
    """Return the wire bytes of the first `size` bytes of the content; what is begun is not ended."""
    if response.chunks is None:
        return response.body[:size]
    parts = []
    for chunk in response.chunks:
        if size < len(chunk):
            parts.append(b"%x\r\n%b" % (len(chunk), chunk[:size]))
            break
        parts.append(chunk_bytes(chunk))
        size -= len(chunk)
    return b"".join(parts)


# --- a reply whose framing lies ---------------------------------------------------------------------------------


def _without(response: Response, name: str) -> list[tuple[str, str]]:
    return [field for field in response.headers if field[0].lower() != name]


async def _content_length(line: Line, response: Response, fault: Fault) -> None:
    headers = [*_without(response, "content-length"), ("Content-Length", fault.value.decode("latin-1"))]
    await _send(line, head_bytes(replace(response, headers=headers)), b"".join(body_pieces(response)), response)
    line.end_output()


async def _duplicate_content_length(line: Line, response: Response, fault: Fault) -> None:
    headers = [*response.headers, ("Content-Length", fault.value.decode("latin-1"))]
    await _send(line, head_bytes(replace(response, headers=headers)), b"".join(body_pieces(response)), response)
    line.reply_is_out(close=response.close)


async def _broken_chunk(line: Line, response: Response, fault: Fault) -> None:
    """Send the first chunk as it should be, and a size line that is none in place of the second."""
    first, *others = response.chunks or [b""]
    body = (
        (chunk_bytes(first) if first else b"")
        + fault.value
        + b"\r\n"
        + b"".join(others)
        + b"\r\n"
        + LAST_CHUNK
        + b"\r\n"
    )
    await _send(line, head_bytes(response), body, response)
    line.end_output()


async def _trailing_bytes(line: Line, response: Response, fault: Fault) -> None:
    await _send(line, head_bytes(response), b"".join(body_pieces(response)) + fault.value, response)
    line.reply_is_out(close=response.close)


# --- a head that is wrong or too much ---------------------------------------------------------------------------


def _head_with(response: Response, extra: bytes) -> bytes:
    return head_bytes(response)[:-2] + extra + b"\r\n"


async def _status_line(line: Line, response: Response, fault: Fault) -> None:
    head = fault.value + b"\r\n" + head_bytes(response).partition(b"\r\n")[2]
    await _send(line, head, b"".join(body_pieces(response)), response)
    line.end_output()


async def _folded_header(line: Line, response: Response, _: Fault) -> None:
    head = _head_with(response, b"X-Folded: first\r\n second\r\n")
    await _send(line, head, b"".join(body_pieces(response)), response)
    line.reply_is_out(close=response.close)


async def _huge_header(line: Line, response: Response, fault: Fault) -> None:
    head = _head_with(response, b"X-Filler: " + b"x" * fault.size + b"\r\n")
    await _send(line, head, b"".join(body_pieces(response)), response)
    line.reply_is_out(close=response.close)


async def _many_headers(line: Line, response: Response, fault: Fault) -> None:
    head = _head_with(response, b"".join([b"X-Filler-%d: x\r\n" % number for number in range(fault.size)]))
    await _send(line, head, b"".join(body_pieces(response)), response)
    line.reply_is_out(close=response.close)


# --- a reply without end; the peer has to leave -----------------------------------------------------------------


async def _endless(line: Line, piece: bytes, seconds: float) -> None:
    end = monotonic() + _ENOUGH
    while monotonic() < end:
        line.write(piece)
        await line.drain()
        await asyncio.sleep(seconds)
    line.close(reset=True)


async def _endless_headers(line: Line, response: Response, fault: Fault) -> None:
    line.write(head_bytes(response)[:-2])
    await _endless(line, _ENDLESS_FIELD, fault.seconds)


async def _endless_body(line: Line, response: Response, fault: Fault) -> None:
    line.write(head_bytes(response) + b"".join(map(chunk_bytes, filter(None, response.chunks or []))))
    await _endless(line, chunk_bytes(_ENDLESS_PIECE), fault.seconds)


# --- a connection that does not live as long as it says ---------------------------------------------------------


async def _end_when_idle(line: Line, response: Response, fault: Fault) -> None:
    await _send(line, head_bytes(response), b"".join(body_pieces(response)), response)
    line.reply_is_out(close=False)
    line.end_when_idle(fault.seconds, reset=fault.kind == "reset-when-idle")


async def _end_on_reuse(line: Line, response: Response, fault: Fault) -> None:
    await _send(line, head_bytes(response), b"".join(body_pieces(response)), response)
    line.end_on_reuse(reset=fault.kind == "reset-on-reuse")
    line.reply_is_out(close=False)


async def _raw(line: Line, response: Response, fault: Fault) -> None:
    await _send(line, fault.value, b"", response)
    line.end_output()


_KINDS: Final[Mapping[str, Callable[[Line, Response, Fault], Awaitable[Any]]]] = {
    "content-length": _content_length,
    "duplicate-content-length": _duplicate_content_length,
    "broken-chunk": _broken_chunk,
    "trailing-bytes": _trailing_bytes,
    "status-line": _status_line,
    "folded-header": _folded_header,
    "huge-header": _huge_header,
    "many-headers": _many_headers,
    "endless-headers": _endless_headers,
    "endless-body": _endless_body,
    "close-when-idle": _end_when_idle,
    "reset-when-idle": _end_when_idle,
    "close-on-reuse": _end_on_reuse,
    "reset-on-reuse": _end_on_reuse,
    "raw": _raw,
}
