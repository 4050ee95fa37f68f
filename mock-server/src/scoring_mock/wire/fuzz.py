"""Generated input for the request parser and the connection above it: `python -m scoring_mock.wire.fuzz [INPUTS]`.

Needs hypothesis, which is not a dependency of the mock. The tests run a small, seeded part of the same inputs.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, Final, cast

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from scoring_mock.http_types import Request, Response, Service
from scoring_mock.wire.connection import Connection, Limits
from scoring_mock.wire.journal import Budget, ConnectionRecord, Journal
from scoring_mock.wire.parser import ChunkedBody, Head, ParseError, parse_head
from scoring_mock.wire.poller import Poller
from scoring_mock.wire.response import whole_bytes

INPUTS: Final = 100_000
_LIMIT: Final = 1_000_000

# --- input ---------------------------------------------------------------------------------------------------------

_TOKENS: Final = st.text("!#$%&'*+-.^_`|~09azAZ", min_size=1, max_size=12)
_VALUES: Final = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=30)
_METHODS: Final = st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"])
_TARGETS: Final = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=30).map(
    lambda text: "/" + text
)
_RESERVED: Final = {"host", "content-type", "content-length", "transfer-encoding", "expect", "connection"}
_FIELDS: Final = st.lists(st.tuples(_TOKENS.filter(lambda name: name.lower() not in _RESERVED), _VALUES), max_size=6)
_BODIES: Final = st.binary(max_size=60)
_CUTS: Final = st.lists(st.integers(1, 40), max_size=8)


@st.composite
def good_requests(draw: st.DrawFn) -> tuple[bytes, str, str, list[tuple[str, str]], bytes]:
    """Return the bytes of a good request, its method, target and fields, and its body."""
    method, target, fields, body = draw(_METHODS), draw(_TARGETS), draw(_FIELDS), draw(_BODIES)
    blanks = st.sampled_from(["", " ", "\t", "  "])
    expect = draw(st.sampled_from([[], [], ["Expect: 100-continue"]]))
    lines = [f"{name}:{draw(blanks)}{value}{draw(blanks)}" for name, value in fields]
    framing = draw(st.sampled_from(["none", "length", "chunked"]))
    if framing == "none":
        body, wire = b"", b""
    elif framing == "length":
        lines.append(f"Content-Length: {len(body)}")
        wire = body
    else:
        lines.append("Transfer-Encoding: chunked")
        wire = b""
        position = 0
        while position < len(body):
            size = draw(st.integers(1, len(body) - position))
            extension = draw(st.sampled_from([b"", b";a", b" ; a=b", b';a="b;c"']))
            wire += b"%x%b\r\n%b\r\n" % (size, extension, body[position : position + size])
            position += size
        wire += b"0\r\n" + draw(st.sampled_from([b"", b"X-Trailer: 1\r\n"])) + b"\r\n"
    head = "\r\n".join([f"{method} {target} HTTP/1.1", *lines, *expect, "", ""]).encode("latin-1")
    return head + wire, method, target, fields, body


# Pieces that matter to a parser of HTTP, put together at random.
_PIECES: Final = st.one_of(
    st.sampled_from(
        [
            *(b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\x00", b"\r\n\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b"\xff"),
            *(
                b"GET / HTTP/1.1\r\n",
                b"POST /score HTTP/1.1\r\n",
                b"HTTP/1.0\r\n",
                b"Host: x\r\n",
                b"A: b\r\n",
                b" c\r\n",
            ),
            *(
                b"Content-Length: 5\r\n",
                b"Content-Length: -1\r\n",
                b"Content-Length: 5, 5\r\n",
                b"content-length:\t3\r\n",
            ),
            *(
                b"Transfer-Encoding: chunked\r\n",
                b"Transfer-Encoding : chunked\r\n",
                b"transfer-encoding: identity\r\n",
            ),
            *(b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"Expect: 100-continue\r\n"),
        ]
    ),
    st.binary(max_size=8),
)
_LINES: Final = st.sampled_from(
    [
        *(
            b"Content-Length: 5",
            b"Content-Length: 0",
            b"content-length:\t3",
            b"Content-Length: \xb2",
            b"Content-Length: 5_0",
        ),
        *(
            b"Content-Length: -1",
            b"Content-Length: 5, 5",
            b"Content-Length:",
            b"Content-Length: 0x5",
            b"Content-Length: +5",
        ),
        *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", b"transfer-encoding: gzip, chunked"),
        *(b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding : chunked", b"Transfer-Encoding: CHUNKED"),
        *(b"Host: x", b"Host: y", b"Content-Type: a/b", b"content-type: c/d", b"Expect: 100-continue", b"Expect: x"),
        *(b"Connection: close", b"Connection: keep-alive", b"Connection: x", b" folded", b"no colon", b": nameless"),
    ]
)
_BODY_PIECES: Final = st.sampled_from(
    [b"hello", b"5\r\nhello\r\n", b"0\r\n", b"\r\n", b"0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"]
)


@st.composite
def odd_requests(draw: st.DrawFn) -> bytes:
    """Return a head whose lines are each well or ill for themselves, and something that may be its body."""
    line = draw(st.sampled_from([b"POST / HTTP/1.1", b"POST / HTTP/1.1", b"POST / HTTP/1.0"]))
    lines = draw(st.lists(_LINES, max_size=4))
    return b"\r\n".join([line, *lines, b"", b""]) + b"".join(draw(st.lists(_BODY_PIECES, max_size=4)))


any_bytes: Final = st.one_of(st.binary(max_size=200), st.lists(_PIECES, max_size=20).map(b"".join))


@st.composite
def damaged_requests(draw: st.DrawFn) -> bytes:
    """Return a good request with a few bytes changed, put in or taken out."""
    data = bytearray(draw(good_requests())[0])
    for _ in range(draw(st.integers(1, 4))):
        position = draw(st.integers(0, len(data)))
        width = draw(st.integers(0, 3))
        data[position : position + width] = draw(_PIECES)
    return bytes(data)


def _cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [piece for piece in (*pieces, data) if piece]


# --- properties ----------------------------------------------------------------------------------------------------


def _outcome(data: bytes) -> Head | ParseError | None:
    try:
        return parse_head(data)
    except ParseError as error:
        return error


def check_any_bytes(data: bytes) -> None:
    """Parsing ends in a head, an error page or a wish for more, and does not depend on how the bytes arrived."""
    whole = _outcome(data)
    if isinstance(whole, Head):
        names = [name for name, _ in whole.headers]
        assert not ("content-length" in names and "transfer-encoding" in names)
        assert names.count("content-length") <= 1
        assert data[: whole.end].endswith(b"\r\n\r\n")
        for end in range(whole.end):
            assert _outcome(data[:end]) is None, "a good head was refused before it was complete"
    elif isinstance(whole, ParseError):
        assert 400 <= whole.status < 600
        assert whole.reason.isprintable()
    else:
        for end in range(len(data)):
            assert _outcome(data[:end]) is None, "what may still become good was refused"


def check_good_request(request: tuple[bytes, str, str, list[tuple[str, str]], bytes], cuts: list[int]) -> None:
    """A good request is read as it was meant, however it is cut."""
    data, method, target, fields, body = request
    head = parse_head(data)
    assert head is not None
    assert (head.method, head.target) == (method, target)
    expected = [(name.lower(), value.strip(" \t")) for name, value in fields]
    assert head.headers[: len(fields)] == expected
    rest = data[head.end :]
    if head.framing == "chunked":
        decoder = ChunkedBody(_LIMIT)
        left = b""
        for piece in _cut(rest + b"NEXT", cuts):
            left = left + piece if decoder.done else decoder.feed(piece)
        assert decoder.done
        assert (decoder.content, left) == (body, b"NEXT")
    else:
        assert head.content_length == len(body)
        assert rest == body


def check_pipeline(requests: list[tuple[bytes, str, str, list[tuple[str, str]], bytes]], cuts: list[int]) -> None:
    """Good requests one after the other get each their reply, in order, however they are cut."""
    connection, peer, journal = _connect()
    for piece in _cut(b"".join(request[0] for request in requests), cuts):
        peer.give(piece)
    entries = journal.to_json()["requests"]
    assert [base64.b64decode(entry["body"]) for entry in entries] == [request[4] for request in requests]
    replies = [whole_bytes(_echo(request[4])) for request in requests]
    assert peer.sent.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"") == b"".join(replies)
    heads = [request[0].partition(b"\r\n\r\n")[0] for request in requests]
    assert peer.sent.count(b" 100 ") == sum(head.endswith(b"\r\nExpect: 100-continue") for head in heads)
    peer.give(b"")
    assert connection.is_closed


def check_connection(data: bytes, cuts: list[int]) -> None:
    """A connection answers whatever comes with whole replies, none of them a defect, and its journal agrees."""
    connection, peer, journal = _connect()
    for piece in _cut(data, cuts):
        peer.give(piece)
    answered = [entry for entry in journal.to_json()["requests"] if entry["answered"]]
    statuses = _statuses(peer.sent)
    assert [status for status in statuses if status != 100] == [entry["answered"]["status"] for entry in answered]
    assert 500 not in statuses
    peer.give(b"")
    assert connection.is_closed


def _statuses(sent: bytes) -> list[int]:
    """Take apart all replies that were sent; fails if they are not whole."""
    statuses = []
    while sent:
        head, blank, sent = sent.partition(b"\r\n\r\n")
        assert blank
        version, status, _ = head.split(b" ", 2)
        assert version == b"HTTP/1.1"
        statuses.append(int(status))
        size = sum(int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length: "))
        assert len(sent) >= size
        sent = sent[size:]
    return statuses


def _connect() -> tuple[Connection, _Peer, Journal]:
    peer = _Peer()
    journal = Journal("fuzz", Budget())
    connection = Connection(
        cast(asyncio.AbstractEventLoop, peer),
        cast(Poller, peer),
        cast(socket.socket, peer),
        ("127.0.0.1", 1),
        ConnectionRecord(1, "http", 0.0),
        None,
        _Echo(journal),
        Limits(max_body=_LIMIT),
        lambda _: None,
    )
    connection.start()
    return connection, peer, journal


def _echo(body: bytes) -> Response:
    text = b"%d" % len(body)
    return Response(200, "OK", [("Content-Length", str(len(text)))], text)


class _Peer:
    """A socket and an event loop in one, without either."""

    def __init__(self) -> None:
        self.sent = b""
        self._arrived: list[bytes] = []
        self._reader: Callable[[], None] | None = None

    def give(self, data: bytes) -> None:
        """Let bytes arrive; none is the end of the peer's output."""
        self._arrived.append(data)
        if self._reader is not None:
            self._reader()

    def add_reader(self, _: int, reader: Callable[[], None]) -> None:
        self._reader = reader

    def remove_reader(self, _: int) -> None:
        self._reader = None

    def fileno(self) -> int:
        return 0

    def recv(self, _: int) -> bytes:
        return self._arrived.pop(0)

    def send(self, data: bytes) -> int:
        self.sent += data
        return len(data)

    def shutdown(self, _: int) -> None: ...

    def close(self) -> None: ...


class _Echo:
    """A site whose only service tells the size of the body that it got."""

    name = "fuzz"

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def route(self, _: Request) -> tuple[Service, Journal | None]:
        return cast(Service, self), self._journal

    def journal_of_unread(self, _: str | None) -> Journal | None:
        return self._journal

    def handle(self, request: Request) -> Response:
        return _echo(request.body)

    def handle_head(self, _: Request) -> Response | None:
        return None


PROPERTIES: Final[dict[str, tuple[Callable[..., None], tuple[Any, ...]]]] = {
    "any bytes": (check_any_bytes, (any_bytes,)),
    "damaged requests": (check_any_bytes, (st.one_of(damaged_requests(), odd_requests()),)),
    "good requests": (check_good_request, (good_requests(), _CUTS)),
    "a pipeline of good requests": (check_pipeline, (st.lists(good_requests(), max_size=4), _CUTS)),
    "a connection": (check_connection, (st.one_of(any_bytes, damaged_requests(), odd_requests()), _CUTS)),
}


def run(name: str, inputs: int, *, seeded: bool) -> None:
    """Check one property on that many inputs; raises what the property raises, after showing the smallest input."""
    check, strategies = PROPERTIES[name]
    generate: Any = given(*strategies)
    bound: Any = settings(
        max_examples=inputs,
        derandomize=seeded,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    bound(generate(check))()


def main(arguments: list[str]) -> int:
    """Run all properties on new inputs."""
    inputs = int(arguments[0]) if arguments else INPUTS
    for name in PROPERTIES:
        started = time.monotonic()
        share = inputs // len(PROPERTIES)
        run(name, share, seeded=False)
        print(f"{name}: {share} inputs, {time.monotonic() - started:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
