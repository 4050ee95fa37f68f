"""A strict HTTP/1.1 request parser without I/O.

It accepts and refuses what gunicorn (the HTTP server of the genuine inference server) accepts and refuses, with
the same words (W33 and the texts of gunicorn 27). Where two readings of a request are possible (two lengths, a
length and chunks, folded lines, bare line feeds) it refuses, so that no request can be smuggled inside another.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

Framing = Literal["none", "content-length", "chunked"]

MAX_REQUEST_LINE: Final = 4094
MAX_FIELDS: Final = 100
MAX_FIELD_SIZE: Final = 8190
MAX_HEAD: Final = MAX_FIELDS * (MAX_FIELD_SIZE + 2) + 4

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_FIELD: Final = re.compile(rb"(" + _TOKEN + rb"):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_NAME: Final = re.compile(_TOKEN)
_METHOD: Final = re.compile(r"[!$%&'*+\-.^_`|~0-9A-Z]{3,20}")
_BAD_TARGET: Final = re.compile(r"[^\x21-\x7e]")
_VERSION: Final = re.compile(r"HTTP/(\d)\.(\d)")
_HEX: Final = re.compile(rb"[0-9a-fA-F]+")
_CHUNK_EXTENSION: Final = (  # compiled on first use: nobody sends any
    rb"(?:[ \t]*;[ \t]*"
    + _TOKEN
    + rb"(?:[ \t]*=[ \t]*(?:"
    + _TOKEN
    + rb'|"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"))?)*'
)
_FORBIDDEN_TRAILERS: Final = frozenset(
    ("host", "content-length", "transfer-encoding", "trailer", "authorization", "te")
)

_MAX_DIGITS: Final = 4300  # of a Content-Length: what Python makes an integer of

# What a header line means for the parser itself; 0 is "nothing".
_HOST, _CONTENT_TYPE, _CONTENT_LENGTH, _TRANSFER_ENCODING, _EXPECT, _CONNECTION = range(1, 7)
_SPECIAL: Final = {
    "host": _HOST,
    "content-type": _CONTENT_TYPE,
    "content-length": _CONTENT_LENGTH,
    "transfer-encoding": _TRANSFER_ENCODING,
    "expect": _EXPECT,
    "connection": _CONNECTION,
}

# Clients repeat most of their lines in every request: parse each spelling once. Bounded, and short lines only.
_LINES: Final[dict[bytes, tuple[tuple[str, str], int]]] = {}
_MAX_CACHED_LINES: Final = 4096
_MAX_CACHED_LINE: Final = 256


class ParseError(Exception):
    """A request that is refused before any service sees it."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        """Keep what the error page shows; `message` is plain text."""
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message


def bad_request(message: str) -> ParseError:
    """Return the error of a malformed request."""
    return ParseError(400, "Bad Request", message)


def too_large_headers(message: str) -> ParseError:
    """Return the error of a header section beyond a limit."""
    return ParseError(431, "Request Header Fields Too Large", f"Error parsing headers: '{message}'")


def too_large_body() -> ParseError:
    """Return the error of a body beyond the limit of this server."""
    return ParseError(413, "Request Entity Too Large", "The request body is too large")


_FIRST_READ: Final = 8192  # what gunicorn takes from the socket at once; its words depend on it


@dataclass(slots=True, eq=False, repr=False)
class Head:
    """A parsed head: the request line, the fields, and how the body is framed.

    Heads are shared between requests: nobody may change them.
    """

    request_line: bytes
    method: str
    target: str
    version: tuple[int, int]
    header_lines: list[bytes]
    headers: list[tuple[str, str]]
    framing: Framing
    content_length: int
    expect_continue: bool
    keep_alive: bool
    end: int  # index of the first byte after the head


# Many clients send the same head again and again. Bounded, and short heads only.
_HEADS: Final[dict[bytes, Head]] = {}
_MAX_CACHED_HEADS: Final = 512
_MAX_CACHED_HEAD: Final = 2048


def parse_head(data: bytes) -> Head | None:
    """Parse the head at the start of `data`; None when it is not complete yet.

    Raises ParseError for what is malformed or too large, also when that can be told from an incomplete head.
    """
    start = 2 if data.startswith(b"\r\n") else 0  # RFC 9112 2.2: one empty line before the request is ignored
    end = data.find(b"\r\n\r\n", start)
    if end < 0:
        _check_incomplete(data, start)
        return None
    whole = data[: end + 4]
    head = _HEADS.get(whole)
    if head is None:
        head = _parse_whole_head(whole, start)
        if end < _MAX_CACHED_HEAD:
            if len(_HEADS) >= _MAX_CACHED_HEADS:
                _HEADS.clear()
            _HEADS[whole] = head
    return head


def _parse_whole_head(data: bytes, start: int) -> Head:
    lines = data[start:-4].split(b"\r\n")
    request_line = lines[0]
    del lines[0]
    method, target, version = _REQUEST_LINES.get(request_line) or _parse_request_line(request_line)
    beyond = len(lines) > MAX_FIELDS

    headers: list[tuple[str, str]] = []
    framing_fields: list[tuple[int, str]] = []
    expect = host = content_type = False
    connection: str | None = None
    for line in lines[:MAX_FIELDS] if beyond else lines:
        field, special = _LINES.get(line) or _parse_field(line, headers)
        headers.append(field)
        if special == 0:
            continue
        value = field[1]
        if special == _HOST:
            if host:
                raise bad_request("Invalid HTTP Header: 'HOST'")
            host = True
        elif special == _CONTENT_TYPE:
            if content_type:
                raise bad_request("Invalid HTTP Header: 'CONTENT-TYPE'")
            content_type = True
        elif special in (_CONTENT_LENGTH, _TRANSFER_ENCODING):
            framing_fields.append((special, value))
        elif special == _EXPECT:
            if value.lower() != "100-continue":
                raise ParseError(417, "Expectation Failed", f"Unable to comply with expectation: {value!r}")
            expect = version >= (1, 1)
        elif connection is None:
            connection = value.lower()

    if beyond:
        raise too_large_headers("limit request headers fields")

    framing, length = _framing(framing_fields, version) if framing_fields else ("none", 0)
    if connection == "close":
        keep_alive = False
    elif connection == "keep-alive":
        keep_alive = True
    else:
        keep_alive = version > (1, 0)
    return Head(request_line, method, target, version, lines, headers, framing, length, expect, keep_alive, len(data))


def _check_incomplete(data: bytes, start: int) -> None:
    line_end = data.find(b"\r\n", start)
    first = data[start:] if line_end < 0 else data[start:line_end]
    if b"\n" in first:
        raise bad_request("Invalid Request Line 'Invalid HTTP request line: 'bare LF as line terminator''")
    if len(first) - (2 if line_end < 0 else 0) > MAX_REQUEST_LINE:
        raise _too_long_line(min(len(first), _FIRST_READ))
    if line_end >= 0:
        _parse_request_line(first)
        rest = data[line_end + 2 :]
        if rest.count(b"\n") != rest.count(b"\r\n"):
            raise bad_request("Invalid HTTP Header: 'bare LF as line terminator'")
        if len(rest) > MAX_HEAD:
            raise too_large_headers("max buffer headers")


def _too_long_line(size: int) -> ParseError:
    return ParseError(414, "URI Too Long", f"Request Line is too large ({size} > {MAX_REQUEST_LINE})")


def _bad_line(line: bytes) -> ParseError:
    return bad_request(f"Invalid Request Line 'Invalid HTTP request line: {line.decode('latin-1')!r}'")


_REQUEST_LINES: Final[dict[bytes, tuple[str, str, tuple[int, int]]]] = {}


def _parse_request_line(line: bytes) -> tuple[str, str, tuple[int, int]]:
    known = _REQUEST_LINES.get(line)
    if known is not None:
        return known
    if b"\n" in line:
        raise bad_request("Invalid Request Line 'Invalid HTTP request line: 'bare LF as line terminator''")
    if len(line) > MAX_REQUEST_LINE:
        raise _too_long_line(len(line) if len(line) + 2 <= _FIRST_READ else _FIRST_READ)
    parts = line.decode("latin-1").split(" ", 2)
    if len(parts) != 3:
        raise _bad_line(line)
    method, target, version_text = parts
    if not _METHOD.fullmatch(method):
        raise bad_request(f"Invalid Method 'Invalid HTTP method: {method!r}'")
    if not target or _BAD_TARGET.search(target):
        raise _bad_line(line)
    if target == "*":
        if method != "OPTIONS":
            raise _bad_line(line)
    elif not target.startswith("/"):
        if method != "CONNECT" and "://" not in target:
            raise _bad_line(line)
        try:
            urlsplit(target)
        except ValueError:  # a bracket without its partner
            raise _bad_line(line) from None
    match = _VERSION.fullmatch(version_text)
    if match is None:
        raise bad_request(f"Invalid HTTP Version 'Invalid HTTP Version: {version_text!r}'")
    version = (int(match[1]), int(match[2]))
    if not (1, 0) <= version < (2, 0):
        raise bad_request(f"Invalid HTTP Version 'Invalid HTTP Version: {version!r}'")
    result = (method, target, version)
    if len(line) <= _MAX_CACHED_LINE:
        if len(_REQUEST_LINES) >= _MAX_CACHED_LINES:
            _REQUEST_LINES.clear()
        _REQUEST_LINES[line] = result
    return result


def _parse_field(line: bytes, before: list[tuple[str, str]]) -> tuple[tuple[str, str], int]:
    if len(line) + 2 > MAX_FIELD_SIZE:
        raise too_large_headers("limit request headers fields size")
    match = _FIELD.fullmatch(line)
    if match is None:
        raise _bad_field(line, before)
    name = match[1].decode("ascii").lower()
    result = ((name, match[2].rstrip(b" \t").decode("latin-1")), _SPECIAL.get(name, 0))
    if len(line) <= _MAX_CACHED_LINE:
        if len(_LINES) >= _MAX_CACHED_LINES:
            _LINES.clear()
        _LINES[line] = result
    return result


def _bad_field(line: bytes, before: list[tuple[str, str]]) -> ParseError:
    text = line.decode("latin-1")
    if before and text[:1] in (" ", "\t"):
        return bad_request(f"Obsolete line folding is unacceptable: {before[-1][0].upper()!r}")
    if text.find(":") <= 0:
        return bad_request(f"Invalid HTTP Header: {text!r}")
    name = text.partition(":")[0]
    if not _NAME.fullmatch(name.encode("latin-1")):
        return bad_request(f"Invalid HTTP header name: {name!r}")
    return bad_request(f"Invalid HTTP Header: {name.upper()!r}")


def _framing(fields: list[tuple[int, str]], version: tuple[int, int]) -> tuple[Framing, int]:
    """Return how the body is framed and its length; refuse whatever could be read in two ways."""
    content_length: str | None = None
    transfer_encoding = chunked = False
    for special, value in fields:
        if special == _CONTENT_LENGTH:
            if content_length is not None:
                raise bad_request("Invalid HTTP Header: 'CONTENT-LENGTH'")
            content_length = value
            continue
        transfer_encoding = True
        for coding in value.split(","):
            name = coding.strip(" \t").lower()
            if name not in ("chunked", "identity", "compress", "deflate", "gzip"):
                raise ParseError(501, "Bad Request", f"Unsupported transfer coding: {value!r}")
            if chunked:
                raise bad_request("Invalid HTTP Header: 'TRANSFER-ENCODING'")
            chunked = name == "chunked"
    if transfer_encoding:
        if not chunked or version < (1, 1):
            raise bad_request("Invalid HTTP Header: 'TRANSFER-ENCODING'")
        if content_length is not None:
            raise bad_request("Invalid HTTP Header: 'CONTENT-LENGTH'")
        return "chunked", 0
    assert content_length is not None
    # isdigit alone accepts other scripts' digits, int alone accepts signs, blanks and underscores.
    if not (content_length.isascii() and content_length.isdigit() and len(content_length) <= _MAX_DIGITS):
        raise bad_request("Invalid HTTP Header: 'CONTENT-LENGTH'")
    return "content-length", int(content_length)


class ChunkedBody:
    """Takes a chunked body apart as it arrives."""

    __slots__ = ("_buffer", "_in_trailers", "_left", "_limit", "_parts", "_size", "done")

    def __init__(self, limit: int) -> None:
        """Accept at most `limit` bytes of content."""
        self._buffer = b""
        self._left = -1  # bytes of the current chunk still to come; -1 before its size line, 0 before its CRLF
        self._in_trailers = False
        self._parts: list[bytes] = []
        self._size = 0
        self._limit = limit
        self.done = False

    @property
    def content(self) -> bytes:
        """The content so far."""
        return b"".join(self._parts)

    def feed(self, data: bytes) -> bytes:
        """Take more bytes; when the body is complete (`done`), return those that follow it.

        Raises ParseError for a malformed chunk or trailer, and for content beyond the limit.
        """
        buffer = self._buffer + data if self._buffer else data
        position = 0
        while not self.done:
            if self._in_trailers:
                end = self._trailers_end(buffer, position)
                if end < 0:
                    break
                self.done = True
                position = end
            elif self._left > 0:
                piece = buffer[position : position + self._left]
                if not piece:
                    break
                self._parts.append(piece)
                self._size += len(piece)
                if self._size > self._limit:
                    raise too_large_body()
                position += len(piece)
                self._left -= len(piece)
            elif self._left == 0:
                terminator = buffer[position : position + 2]
                if terminator != b"\r\n":
                    if len(terminator) < 2 and b"\r\n".startswith(terminator):
                        break
                    raise bad_request(f"Invalid chunk terminator is not '\\r\\n': {terminator!r}")
                position += 2
                self._left = -1
            else:
                end = buffer.find(b"\r\n", position)
                if end < 0:
                    if len(buffer) - position > MAX_FIELD_SIZE:
                        raise bad_request(
                            f"Invalid chunk size: {b'line over %d bytes with no terminator' % MAX_FIELD_SIZE!r}"
                        )
                    break
                self._left = self._chunk_size(buffer[position:end])
                position = end + 2
                self._in_trailers = self._left == 0
        rest = buffer[position:]
        self._buffer = b"" if self.done else rest
        return rest if self.done else b""

    def _chunk_size(self, line: bytes) -> int:
        size, semicolon, extension = line.partition(b";")
        if semicolon:
            if b"\r" in extension:
                raise bad_request("Invalid chunk extension: bare CR not allowed")
            size = size.rstrip(b" \t")
        if not _HEX.fullmatch(size):
            raise bad_request(f"Invalid chunk size: {size!r}")
        if semicolon and not re.fullmatch(_CHUNK_EXTENSION, semicolon + extension):
            raise bad_request("Invalid chunk extension: invalid chunk extension")
        return int(size, 16)

    def _trailers_end(self, buffer: bytes, position: int) -> int:
        """Return the index after the trailer section, -1 when it is not complete."""
        if buffer.startswith(b"\r\n", position):
            return position + 2
        end = buffer.find(b"\r\n\r\n", position)
        section = buffer[position:] if end < 0 else buffer[position:end]
        if len(section) > MAX_HEAD:
            raise too_large_headers("limit request trailer section size")
        if end < 0:
            if section.count(b"\n") != section.count(b"\r\n"):
                raise bad_request("Invalid HTTP Header: 'bare LF as line terminator'")
            return -1
        lines = section.split(b"\r\n")
        trailers: list[tuple[str, str]] = []
        for line in lines:
            if len(trailers) >= MAX_FIELDS:
                raise too_large_headers("limit request headers fields")
            trailers.append(_parse_field(line, trailers)[0])
            name = trailers[-1][0]
            if name in _FORBIDDEN_TRAILERS:
                raise bad_request(f"Invalid HTTP header name: {name.upper()!r}")
        return end + 4
