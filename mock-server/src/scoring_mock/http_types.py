"""The values and interfaces between the wire (sockets, bytes) and the service (what to answer).

The wire parses bytes into a `Request`, the service answers with a `Response`, the wire writes it. Neither
side knows more of the other than this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal, Protocol, runtime_checkable

Source = Literal["auth", "front-end", "script", "reply", "fault"]
Headers = list[tuple[str, str]]
ConnectionFault = Literal["close", "reset", "silence"]
# `short`: the client ended its output before the Content-Length that it had announced; `malformed`: chunks that are
# none, or that break off.
BodyProblem = Literal["short", "malformed"]


class SpecError(ValueError):
    """Bad input on the admin plane; the message is one clear sentence that names the member."""


@dataclass(slots=True, eq=False)
class Request:
    """One complete request, as it arrived.

    `method`, `target` and `header_lines` hold what the client sent, undecoded but for latin-1. `headers` is
    the same list of fields with names lower-cased and values stripped of blanks, in order, duplicates kept.
    `body` is the body without its transfer coding. `peer` is the client's address and port, `listener` the
    name of the listener that took the connection (`http`, `https`, ...), `owner` the one service that the
    listener belongs to, or None for a shared listener.
    """

    method: str
    target: str
    version: tuple[int, int]
    header_lines: list[bytes]
    headers: Headers
    body: bytes
    peer: tuple[str, int]
    listener: str
    owner: str | None = None

    def header(self, name: str) -> str | None:
        """Return the first value of the header `name` (given in lower case), or None."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    def all(self, name: str) -> list[str]:
        """Return every value of the header `name` (given in lower case), in order."""
        return [value for key, value in self.headers if key == name]


@dataclass(slots=True, frozen=True, eq=False)
class Fault:
    """One thing that goes wrong while a reply is sent; `replies.py` reads the kinds, `wire/faults.py` plays them."""

    kind: str
    place: Literal["start", "headers", "body"] = "start"
    at: int = 0
    size: int = 0
    seconds: float = 0.0
    value: bytes = b""


@dataclass(slots=True, eq=False)
class Response:
    """One reply, exactly as it goes onto the wire.

    `headers` are written in order, as spelt, and are complete: Content-Length, Transfer-Encoding, Connection,
    Date and Server are there only if the layer that answers sends them. `chunks`, when not None, is sent with
    the chunked transfer coding instead of `body` (the Transfer-Encoding header is the caller's), followed by
    `trailers`. `close` closes the connection after the reply. `delay` is in seconds and comes before the
    first byte. `source` says who answered, for the journal; `unexpected` marks a scoring request beyond the
    scripted list. `interim` are 1xx replies that go before this one. `drip` is (bytes, seconds): that many bytes
    of the body, with `drip_head` of the head too, at a time, with that pause before each. A reply to HEAD has an
    empty `body`: who answers sees to that.
    """

    status: int
    reason: str
    headers: Headers
    body: bytes = b""
    chunks: list[bytes] | None = None
    close: bool = False
    source: Source = "script"
    delay: float = 0.0
    fault: Fault | None = None
    trailers: Headers = field(default_factory=list)
    unexpected: bool = False
    interim: list[tuple[int, Headers]] = field(default_factory=list)
    drip: tuple[int, float] | None = None
    drip_head: bool = False
    version: str = "HTTP/1.1"


class Service(Protocol):
    """What the wire needs of a service."""

    name: str

    def handle(self, request: Request) -> Response:
        """Answer one complete request. Synchronous, no I/O."""
        ...

    def handle_head(self, request: Request) -> Response | None:
        """Answer before the body was read, or None to read it first.

        Called only when the head arrived without its whole body (or with `Expect: 100-continue`); `body` is
        empty then. For replies that real front ends give early, such as 413, and for scripted replies with
        `"before_body": true`.
        """
        ...


@runtime_checkable
class AnswersBrokenBodies(Protocol):
    """A service that may answer a request whose body cannot be had; the wire asks those that have the method."""

    def handle_broken(self, request: Request, problem: BodyProblem) -> Response | None:
        """Answer all the same, or None: then a malformed body gets the wire's error page, a short one no answer.

        `request.body` holds what came. The genuine server answers most of these: it looks at a body only when a
        script wants it, hands a short one over as if it were whole, and takes malformed chunks for a defect of its own.
        """
        ...


class Ports(Protocol):
    """Listeners of one service each, for profiles whose real path is `/score`. Given to the registry."""

    def open(
        self,
        service: str,
        names: list[str],
        faults: Sequence[ConnectionFault | None] = (),
        *,
        newest_tls: Literal["1.2", "1.3"] = "1.2",
    ) -> dict[str, str]:
        """Listen for one service: for each name (`http`, `https`, `https-expired`, ...) its base URL.

        Requests on them carry the service as `owner`. `faults` befall the first connections to each of them, in
        order (ADMIN.md, `connections`; `replies.parse_connections` reads it); `newest_tls` is for `https`. Raises
        SpecError for a name that does not exist.
        """
        ...

    def shared(self) -> dict[str, str]:
        """Return the base URL of each shared data-plane listener by name."""
        ...

    def close(self, service: str) -> None:
        """Stop listening for a service, end its connections and forget its journal."""
        ...


class Registry(Protocol):
    """What the wire and the admin plane need of the registry of services."""

    def resolve(self, listener: str, request: Request) -> Service | None:
        """Find the service that a request on a listener is for; None when there is none."""
        ...

    def not_found(self, request: Request) -> Response:
        """Answer a request for which there is no service: the profile-neutral 404."""
        ...

    def create(self, specs: list[Any]) -> list[dict[str, Any]]:
        """Make services from admin specs, all or none; each answer is a `service`. Raises SpecError."""
        ...

    def get(self, name: str) -> Service | None:
        """Return the service of that name, None when there is none."""
        ...

    def act(self, name: str, act: Any) -> dict[str, Any]:
        """Do one act on a service. Raises KeyError for an unknown name, SpecError for a bad act."""
        ...

    def drop(self, names: list[str]) -> int:
        """Forget services (unknown names are ignored); returns how many there were."""
        ...


def reason_phrase(status: int) -> str:
    """Return the standard reason phrase of a status, `Unknown` when it has none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
