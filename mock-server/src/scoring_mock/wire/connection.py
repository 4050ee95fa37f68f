"""One client's connection: read requests, hand them over, write replies, keep time.

The sockets are driven directly (`recv`, `send`) and not through asyncio's transports: only so do a
reset, a half-open peer, a fatal TLS alert and unread input stay in our hands, and it is faster.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, Literal, Protocol

from scoring_mock.http_types import AnswersBrokenBodies, BodyProblem, ConnectionFault, Request, Response, Service
from scoring_mock.wire import faults
from scoring_mock.wire.journal import ConnectionRecord, Entry, Journal
from scoring_mock.wire.parser import ChunkedBody, Head, ParseError, parse_head, too_large_body
from scoring_mock.wire.poller import Poller
from scoring_mock.wire.response import error_page, interim_bytes, whole_bytes

logger = logging.getLogger(__name__)

READ_SIZE: Final = 64 * 1024
MAX_AHEAD: Final = 64 * 1024  # bytes of later requests that are read while one is being answered
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_CONTINUE: Final = interim_bytes(100, [])

# What a connection is doing: reading a head or a body, answering, discarding input after its last reply, nothing.
_HEAD, _BODY, _REPLY, _LINGER, _CLOSED = range(5)


@dataclass(frozen=True, slots=True, eq=False)
class Limits:
    """How much a client may send, and how long it may take; times in seconds."""

    head: float = 30.0  # from the first byte of a request to the end of its head; also the TLS handshake
    body: float = 30.0  # between two pieces of a body
    request: float = 300.0  # from the first byte of a request to its last
    idle: float = 120.0  # between two requests
    write: float = 60.0  # while the client takes nothing of a reply
    linger: float = 2.0  # for the rest of a request that nobody wants any more
    max_body: int = 256 * 1024 * 1024

    @property
    def shortest(self) -> float:
        """The shortest of the times."""
        return min(self.head, self.body, self.request, self.idle, self.write, self.linger)


class Site(Protocol):
    """What stands behind a listener: the data plane, the admin plane or the control plane."""

    def route(self, request: Request) -> tuple[Service, Journal | None]:
        """Return who answers the request, and the journal that it belongs to."""
        ...

    def journal_of_unread(self, owner: str | None) -> Journal | None:
        """Return the journal of requests that could not even be read."""
        ...


class Connection:
    """A plain-text connection. `TlsConnection` adds the encryption."""

    __slots__ = (
        "_ahead",
        "_answered_early",
        "_body",
        "_chunked",
        "_close_after_flush",
        "_drained",
        "_entry",
        "_eof",
        "_fd",
        "_head_started",
        "_journal",
        "_keep_alive",
        "_limits",
        "_listener",
        "_loop",
        "_missing",
        "_on_close",
        "_on_next",
        "_out",
        "_owner",
        "_peer",
        "_phase",
        "_poller",
        "_reading",
        "_received_body",
        "_request",
        "_service",
        "_site",
        "_sock",
        "_task",
        "_turn",
        "_writing",
        "deadline",
        "record",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        poller: Poller,
        sock: socket.socket,
        peer: tuple[str, int],
        record: ConnectionRecord,
        owner: str | None,
        site: Site,
        limits: Limits,
        on_close: Callable[[Connection], None],
    ) -> None:
        """Take over a connected, non-blocking socket; `start` begins to read."""
        self._loop = loop
        self._poller = poller
        self._sock = sock
        self._fd = sock.fileno()
        self._peer = peer
        self._listener = record.listener
        self._owner = owner
        self._site = site
        self._limits = limits
        self._on_close = on_close
        self.record = record

        self._phase = _HEAD
        self._reading = False
        self._eof = False
        self._ahead: bytes = b""  # received, not parsed yet
        self._head_started = 0.0  # when the first byte of a request came whose head is not complete
        self.deadline = record.opened + limits.idle

        self._turn = 0  # requests begun
        self._request: Request | None = None
        self._service: Service | None = None
        self._journal: Journal | None = None
        self._entry: Entry | None = None
        self._keep_alive = True
        self._body: list[bytes] | None = None  # pieces of a body of known length that is not complete
        self._missing = 0
        self._received_body = 0
        self._chunked: ChunkedBody | None = None
        self._answered_early = False
        self._on_next: Literal["close", "reset"] | None = None  # what a fault does to the next request

        self._out: list[bytes | memoryview] = []
        self._writing = False
        self._close_after_flush = False
        self._drained: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    # --- for the listeners -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to read."""
        self._resume_reading()

    @property
    def is_closed(self) -> bool:
        """Whether the connection has ended."""
        return self._phase == _CLOSED

    @property
    def is_lingering(self) -> bool:
        """Whether all that still comes is thrown away."""
        return self._phase == _LINGER

    def is_for(self, service: str) -> bool:
        """Tell whether a service owns the listener, or is being asked or answering right now."""
        if self._owner is not None:
            return self._owner == service
        return self._request is not None and self._journal is not None and self._journal.name == service

    def check_time(self, now: float) -> None:
        """Act on a deadline that has passed."""
        if now < self.deadline:
            return
        if self._phase == _BODY or (self._phase == _HEAD and self._ahead):
            self._refuse(ParseError(408, "Request Timeout", "The request did not arrive in time"), now)
        elif self._phase != _REPLY or self._out:
            self.close()

    def close(self, *, reset: bool = False) -> None:
        """End the connection now: with a FIN, or with an RST."""
        if self._phase == _CLOSED:
            return
        if self._request is not None and self._entry is not None and not self._entry.body_complete:
            self._record_partial_body()
        self._phase = _CLOSED
        self._pause_reading()
        if self._writing:
            self._poller.remove_writer(self._fd)
            self._writing = False
        if reset:
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._sock.close()
        self.record.closed = monotonic()
        self._out.clear()
        if self._drained is not None and not self._drained.done():
            self._drained.set_exception(faults.Gone())
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._on_close(self)

    # --- reading -----------------------------------------------------------------------------------------------

    def _resume_reading(self) -> None:
        if not self._reading and not self._eof:
            self._reading = True
            self._poller.add_reader(self._fd, self._on_readable)

    def _pause_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._poller.remove_reader(self._fd)

    def _on_readable(self) -> None:
        try:
            data = self._sock.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._lost()
            return
        if data:
            self._on_bytes(data)
        else:
            self._on_eof()

    def _on_bytes(self, data: bytes) -> None:
        """Take bytes from the socket; here they are plain text."""
        self._received(data)

    def _on_eof(self) -> None:
        """The peer sends no more; it may still read."""
        self._eof = True
        self._pause_reading()
        self.record.peer_closed = monotonic()
        if self._phase == _BODY and self._answer_broken("malformed" if self._chunked is not None else "short"):
            return
        if self._phase != _REPLY:
            self._say_goodbye()  # a TLS peer may wait for it
            self.close()
        elif self._task is not None and self._entry is not None and self._entry.source == "fault":
            self._task.cancel()
            self.close()

    def _lost(self) -> None:
        """The peer is gone: its reset has arrived."""
        self._eof = True
        if self.record.peer_closed is None:
            self.record.peer_closed = monotonic()
        self.record.peer_reset = True
        self.close()

    def _received(self, data: bytes) -> None:
        """Take plain-text bytes of the peer."""
        if self._phase == _LINGER:
            return
        self._ahead = self._ahead + data if self._ahead else data
        if self._phase != _REPLY:
            self._advance()
        elif len(self._ahead) > MAX_AHEAD:
            self._pause_reading()

    def _advance(self) -> None:
        """Go on with what has been received until more is needed or a reply is under way."""
        now = monotonic()
        try:
            while self._ahead:
                if self._phase == _HEAD:
                    head = parse_head(self._ahead)
                    if head is None:
                        if not self._head_started:
                            self._head_started = now
                            self.deadline = now + self._limits.head
                        return
                    self._begin(head, now)
                elif self._phase == _BODY:
                    self._take_body(now)
                else:
                    return
        except ParseError as error:
            self._refuse(error, now)
        except Exception:
            logger.exception("a defect of this server")
            self.close()

    def _begin(self, head: Head, now: float) -> None:
        """Start on a request whose head is complete."""
        request = Request(
            head.method,
            head.target,
            head.version,
            head.header_lines,
            head.headers,
            b"",
            self._peer,
            self._listener,
            self._owner,
        )
        self._request = request
        self._turn += 1
        self._service, journal = self._site.route(request)
        self._journal = journal
        if journal is not None:
            self._entry = journal.begin(self.record, now, head.request_line, head.header_lines, head.framing)
        self._keep_alive = head.keep_alive
        ahead = self._ahead
        end = head.end
        if head.framing == "none" or (head.content_length == 0 and head.framing != "chunked"):
            self._ahead = ahead[end:]
            if head.expect_continue:  # the genuine server says so, though there is nothing to go on with
                self.write(_CONTINUE)
            self._complete(b"", now)
        elif head.framing == "chunked":
            self._ahead = ahead[end:]
            self._chunked = ChunkedBody(self._limits.max_body)
            self._head_started = self._head_started or now
            if self._ahead and not head.expect_continue:
                self._phase = _BODY
                self._take_body(now)
            if self._chunked is not None:
                self._await_body(head, now)
        else:
            stop = end + head.content_length
            if len(ahead) >= stop and not head.expect_continue:
                self._ahead = ahead[stop:]
                self._complete(ahead[end:stop], now)
            else:
                self._ahead = ahead[end:]
                self._body = []
                self._missing = head.content_length
                self._received_body = 0
                self._head_started = self._head_started or now
                self._await_body(head, now)

    def _await_body(self, head: Head, now: float) -> None:
        """The body has to be waited for: give the service its chance to answer before."""
        self._phase = _BODY
        self._set_body_deadline(now)
        assert self._service is not None
        assert self._request is not None
        early = self._service.handle_head(self._request) if self._on_next is None else None
        if early is not None:
            self._answered_early = True
            self._respond(early, now)
        elif head.expect_continue:
            self.write(_CONTINUE)

    def _set_body_deadline(self, now: float) -> None:
        self.deadline = min(now + self._limits.body, self._head_started + self._limits.request)

    def _take_body(self, now: float) -> None:
        self._set_body_deadline(now)
        data = self._ahead
        if self._chunked is not None:
            self._ahead = self._chunked.feed(data)
            if not self._chunked.done:
                return
            body = self._chunked.content
            self._chunked = None
        else:
            assert self._body is not None
            if len(data) < self._missing:
                self._body.append(data)
                self._missing -= len(data)
                self._ahead = b""
                self._received_body += len(data)
                if self._received_body > self._limits.max_body:
                    raise too_large_body()
                return
            self._body.append(data[: self._missing])
            self._ahead = data[self._missing :]
            body = b"".join(self._body)
            self._body = None
        if self._answered_early:
            if self._entry is not None and self._journal is not None:
                self._journal.set_body(self._entry, body, complete=True)
            self._next(now)
        else:
            self._complete(body, now)

    def _partial_body(self) -> bytes:
        if self._chunked is not None:
            return self._chunked.content
        if self._body is not None:
            # What came after an early reply was not taken apart any more.
            return (b"".join(self._body) + self._ahead)[: self._missing + sum(map(len, self._body))]
        return b""

    def _record_partial_body(self) -> None:
        if self._journal is None or self._entry is None:
            return
        if self._chunked is not None or self._body is not None:
            self._journal.set_body(self._entry, self._partial_body(), complete=False)

    # --- answering ---------------------------------------------------------------------------------------------

    def _complete(self, body: bytes, now: float) -> None:
        """Have a complete request answered."""
        request = self._request
        assert request is not None
        assert self._service is not None
        request.body = body
        if self._entry is not None:
            assert self._journal is not None
            self._journal.set_body(self._entry, body, complete=True)
        if self._on_next is not None:
            self._fail_reuse(now)
            return
        try:
            response = self._service.handle(request)
        except Exception:
            logger.exception("a defect of this server, in %s %s", request.method, request.target)
            response = error_page(ParseError(500, "Internal Server Error", ""))
        self._respond(response, now)

    def _respond(self, response: Response, now: float) -> None:
        self._phase = _REPLY
        entry = self._entry
        if entry is not None:
            entry.source = response.source
            entry.unexpected = response.unexpected
        if response.fault or response.delay or response.interim or response.drip:  # more than bytes to be sent at once
            self._task = self._loop.create_task(self._play(response))
        else:
            if entry is not None:
                entry.answered = now
                entry.status = response.status
            self.write(whole_bytes(response))
            self._reply_is_out(close=response.close, now=now)

    async def _play(self, response: Response) -> None:
        try:
            await faults.play(self, response)
        except faults.Gone:
            pass
        except Exception:
            logger.exception("a defect of this server, in a scripted reply")
            self.close()

    def reply_begins(self, status: int | None) -> None:
        """Record that a reply that took its time goes out now, or what a fault makes of it."""
        if self._entry is not None:
            self._entry.answered = monotonic()
            self._entry.status = status

    def reply_is_out(self, *, close: bool) -> None:
        """Go on after a reply that was played."""
        self._task = None
        self._reply_is_out(close=close, now=monotonic())
        self._advance()

    def end_on_reuse(self, *, reset: bool) -> None:
        """Answer the next request by ending the connection."""
        self._on_next = "reset" if reset else "close"

    def end_when_idle(self, seconds: float, *, reset: bool) -> None:
        """End the connection after a time, unless a further request has begun."""
        self._loop.call_later(seconds, self._end_if_idle, self._turn, reset)

    def _end_if_idle(self, turn: int, reset: bool) -> None:
        if self._turn == turn and self._phase == _HEAD:
            self.close(reset=reset)

    def _reply_is_out(self, *, close: bool, now: float) -> None:
        """All of the reply was handed to `write`."""
        journal = self._journal
        if journal is not None and journal.sink is not None and self._entry is not None:
            journal.write(self._entry)
        self._close_after_flush = close or not self._keep_alive or self._eof
        if self._out:
            return
        if self._close_after_flush:
            self.end_output()
        else:
            self._next(now)

    def _next(self, now: float) -> None:
        """Get ready for the next request, or for the rest of this one if it was answered early."""
        if self._chunked is not None or self._body is not None:
            self._phase = _BODY
            self._set_body_deadline(now)
        else:
            self._phase = _HEAD
            self._request = None
            self._entry = None
            self._answered_early = False
            self._head_started = 0.0
            self.deadline = now + self._limits.idle
        if not self._reading:
            self._resume_reading()

    def _answer_broken(self, problem: BodyProblem) -> bool:
        """Let the service answer a request whose body cannot be had, if it wants to."""
        request, service = self._request, self._service
        if request is None or self._answered_early or not isinstance(service, AnswersBrokenBodies):
            return False
        request.body = self._partial_body()
        response = service.handle_broken(request, problem)
        if response is None:
            return False
        self._record_partial_body()
        self._request = None
        self._chunked = None
        self._body = None
        self._ahead = b"" if self._eof else b"?"  # nobody will read what comes
        self._keep_alive = False
        self._respond(response, monotonic())
        return True

    def _refuse(self, error: ParseError, now: float) -> None:
        """Answer what cannot be read as a request, and close."""
        if self._answered_early:
            self.end_output()
            return
        if self._request is None:
            self._journal = self._site.journal_of_unread(self._owner)
            if self._journal is not None:
                first, _, rest = self._ahead.partition(b"\r\n\r\n")[0].partition(b"\r\n")
                lines = rest.split(b"\r\n") if rest else []
                self._entry = self._journal.begin(self.record, now, first, lines, "none")
        elif error.status not in (408, 413) and self._chunked is not None and self._answer_broken("malformed"):
            return
        else:
            self._record_partial_body()
        self._request = None
        self._chunked = None
        self._body = None
        self._ahead = b"?"  # there is more that nobody will read
        self._keep_alive = False
        self._respond(error_page(error), now)

    def _fail_reuse(self, now: float) -> None:
        if self._entry is not None:
            self._entry.answered = now
            self._entry.source = "fault"
        if self._on_next == "reset":
            self.close(reset=True)
        else:
            self.end_output()

    def end_output(self, *, orderly: bool = True) -> None:
        """Close, but leave a peer that still sends the time to read the reply: closing now would reset it."""
        if orderly:
            self._say_goodbye()
        unread = bool(self._ahead) or self._chunked is not None or self._body is not None
        if self._eof or not unread or self._phase == _CLOSED:
            self.close()
            return
        if self._entry is not None and not self._entry.body_complete:
            self._record_partial_body()
        self._request = None
        self._phase = _LINGER
        self.deadline = monotonic() + self._limits.linger
        self._ahead = b""
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
            return
        self._resume_reading()

    def _say_goodbye(self) -> None:
        """End the output in a way that the peer can tell from a cut; plain TCP has none but the FIN."""

    # --- writing -----------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send plain-text bytes, later if the peer does not take them now."""
        self._send(data)

    def _send(self, data: bytes) -> None:
        """Send bytes as they are."""
        if self._phase == _CLOSED:
            return
        if self._out:
            self._out.append(data)
            return
        try:
            sent = self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self._lost()
            return
        if sent < len(data):
            self._out.append(memoryview(data)[sent:])
            self._writing = True
            self.deadline = monotonic() + self._limits.write
            self._poller.add_writer(self._fd, self._on_writable)

    def _on_writable(self) -> None:
        try:
            while self._out:
                data = self._out[0]
                sent = self._sock.send(data)
                self.deadline = monotonic() + self._limits.write
                if sent < len(data):
                    self._out[0] = memoryview(data)[sent:]
                    return
                del self._out[0]
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._lost()
            return
        self._poller.remove_writer(self._fd)
        self._writing = False
        if self._drained is not None:
            if not self._drained.done():
                self._drained.set_result(None)
            self._drained = None
        elif self._phase == _REPLY and self._task is None:
            if self._close_after_flush:
                self.end_output()
            else:
                self._next(monotonic())
                self._advance()

    async def drain(self) -> None:
        """Wait until all that was written is with the kernel. Raises `faults.Gone` when the peer is."""
        if self._phase == _CLOSED:
            raise faults.Gone
        if self._out:
            self._drained = self._loop.create_future()
            await self._drained

    def break_off(self, fault: ConnectionFault) -> None:
        """End, or leave hanging, a connection before anything was answered."""
        self.record.fault = fault
        if fault == "reset":
            self.close(reset=True)
        elif fault == "close":
            self._ahead = b"?"  # what the peer is still sending must not turn the FIN into a reset
            self.end_output(orderly=False)


class BrokenConnection(Connection):
    """A connection that breaks when the first bytes of a request arrive."""

    def __init__(self, fault: ConnectionFault, *args: Any) -> None:
        """Break with `fault`; the other arguments are those of `Connection`."""
        super().__init__(*args)
        self._fault = fault

    def _on_bytes(self, data: bytes) -> None:  # noqa: ARG002
        if self.record.fault is None:
            self.break_off(self._fault)
