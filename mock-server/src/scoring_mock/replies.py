"""Scripted replies: what an admin may ask for, read from JSON and turned into responses.

The members are described in ADMIN.md. A reply is checked when it is given, not when it is played.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, get_args

from scoring_mock.http_types import ConnectionFault, Fault, Headers, Response, SpecError, reason_phrase

MAX_SECONDS: Final = 3600
MAX_BODY: Final = 1024 * 1024 * 1024
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_LINE: Final = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_MEMBERS: Final = frozenset(
    (
        *("status", "reason", "version", "headers", "body", "encode", "chunked", "trailers"),
        *("delay", "drip", "interim", "close", "before_body", "fault"),
    )
)


@dataclass(frozen=True)
class Reply:
    """One scripted reply; `before_body` sends it as soon as the head of the request has arrived."""

    template: Response
    before_body: bool = False

    def response(self) -> Response:
        """Return a response of its own for one request."""
        template = self.template
        return replace(
            template,
            headers=list(template.headers),
            trailers=list(template.trailers),
            interim=list(template.interim),
        )


def parse_replies(value: Any, where: str = "replies") -> list[Reply]:
    """Read the list of scripted replies of a service. Raises SpecError."""
    if not isinstance(value, list):
        raise SpecError(f"{where} must be a list")
    return [parse_reply(item, f"{where}[{index}]") for index, item in enumerate(value)]


def parse_reply(value: Any, where: str = "reply") -> Reply:
    """Read one scripted reply. Raises SpecError with a sentence that says where."""
    spec = _object(value, where, _MEMBERS)
    status = _integer(spec, "status", where, 100, 999, default=200)
    reason = _line(spec.get("reason", reason_phrase(status)), f"{where}.reason")
    version = spec.get("version", "HTTP/1.1")
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise SpecError(f"{where}.version must be HTTP/1.1 or HTTP/1.0")
    headers = _headers(spec.get("headers", []), f"{where}.headers")
    trailers = _headers(spec.get("trailers", []), f"{where}.trailers")
    body, media_type = _body(spec.get("body"), f"{where}.body")
    coding = spec.get("encode")
    if coding is not None:
        if coding not in tuple(_ENCODERS):
            raise SpecError(f"{where}.encode must be one of {', '.join(_ENCODERS)}")
        body = _ENCODERS[coding](body)
    names = {name.lower() for name, _ in headers}
    if media_type is not None and "content-type" not in names:
        headers.append(("Content-Type", media_type))
    if coding is not None and "content-encoding" not in names:
        headers.append(("Content-Encoding", "deflate" if coding == "deflate-raw" else coding))
    size = _integer(spec, "chunked", where, 1, MAX_BODY) if "chunked" in spec else 0
    fault = _fault(spec["fault"], f"{where}.fault") if "fault" in spec else None
    if not size and (trailers or (fault is not None and fault.kind in ("broken-chunk", "endless-body"))):
        size = 4096
    chunks: list[bytes] | None = None
    if size:
        if version == "HTTP/1.0" or "content-length" in names:
            raise SpecError(f"{where}: a chunked reply has neither version HTTP/1.0 nor a Content-Length")
        chunks = [body[start : start + size] for start in range(0, len(body), size)]
        if "transfer-encoding" not in names:
            headers.append(("Transfer-Encoding", "chunked"))
    elif "content-length" not in names and "transfer-encoding" not in names and (body or status not in (204, 304)):
        headers.append(("Content-Length", str(len(body))))
    drip, drip_head = _drip(spec["drip"], f"{where}.drip") if "drip" in spec else (None, False)
    response = Response(
        status=status,
        reason=reason,
        headers=headers,
        body=b"" if chunks is not None else body,
        chunks=chunks,
        close=_boolean(spec, "close", where),
        source="reply" if fault is None else "fault",
        delay=_seconds(spec, "delay", where),
        fault=fault,
        trailers=trailers,
        interim=_interim(spec.get("interim", []), f"{where}.interim"),
        drip=drip,
        drip_head=drip_head,
        version=version,
    )
    return Reply(response, _boolean(spec, "before_body", where))


def parse_connections(value: Any, where: str = "connections") -> tuple[ConnectionFault | None, ...]:
    """Read what befalls the first connections to a service's own listeners. Raises SpecError."""
    if not isinstance(value, list):
        raise SpecError(f"{where} must be a list")
    for index, item in enumerate(value):
        if item not in (None, *get_args(ConnectionFault)):
            raise SpecError(f"{where}[{index}] must be null or one of {', '.join(get_args(ConnectionFault))}")
    return tuple(value)


def _gzip(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=31)
    return compressor.compress(data) + compressor.flush()


def _deflate_raw(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


_ENCODERS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "gzip": _gzip,
    "deflate": zlib.compress,
    "deflate-raw": _deflate_raw,
}


def _body(value: Any, where: str) -> tuple[bytes, str | None]:
    if value is None:
        return b"", None
    spec = _object(value, where, frozenset(("json", "text", "base64", "repeat")))
    forms = [form for form in ("json", "text", "base64") if form in spec]
    if len(forms) != 1:
        raise SpecError(f"{where} must have exactly one of json, text, base64")
    form = forms[0]
    content = spec[form]
    media_type: str | None = None
    if form == "json":
        data = json.dumps(content).encode("ascii")
        media_type = "application/json"
    elif not isinstance(content, str):
        raise SpecError(f"{where}.{form} must be a string")
    elif form == "text":
        data = _utf8(content, f"{where}.text")
        media_type = "text/plain"
    else:
        data = _base64(content, f"{where}.base64")
    times = _integer(spec, "repeat", where, 1, MAX_BODY, default=1)
    if len(data) * times > MAX_BODY:
        raise SpecError(f"{where} would be larger than {MAX_BODY} bytes")
    return data * times, media_type


def _interim(value: Any, where: str) -> list[tuple[int, Headers]]:
    if not isinstance(value, list):
        raise SpecError(f"{where} must be a list")
    result: list[tuple[int, Headers]] = []
    for index, item in enumerate(value):
        here = f"{where}[{index}]"
        spec = _object(item, here, frozenset(("status", "headers")))
        status = _integer(spec, "status", here, 100, 199)
        result.append((status, _headers(spec.get("headers", []), f"{here}.headers")))
    return result


def _drip(value: Any, where: str) -> tuple[tuple[int, float], bool]:
    spec = _object(value, where, frozenset(("bytes", "seconds", "headers")))
    pace = _integer(spec, "bytes", where, 1, MAX_BODY, default=1), _seconds(spec, "seconds", where)
    return pace, _boolean(spec, "headers", where)


# For each kind of fault the members it takes beside `kind`.
_FAULTS: Final[Mapping[str, frozenset[str]]] = {
    "close": frozenset(("headers", "body")),
    "reset": frozenset(("headers", "body")),
    "silence": frozenset(("headers", "body")),
    "content-length": frozenset(("value",)),
    "duplicate-content-length": frozenset(("value",)),
    "broken-chunk": frozenset(("value",)),
    "status-line": frozenset(("value",)),
    "folded-header": frozenset(),
    "huge-header": frozenset(("size",)),
    "many-headers": frozenset(("size",)),
    "endless-headers": frozenset(("seconds",)),
    "endless-body": frozenset(("seconds",)),
    "trailing-bytes": frozenset(("value",)),
    "raw": frozenset(("value", "base64")),
    "close-when-idle": frozenset(("seconds",)),
    "reset-when-idle": frozenset(("seconds",)),
    "close-on-reuse": frozenset(),
    "reset-on-reuse": frozenset(),
}
_DEFAULT_VALUES: Final = {
    "duplicate-content-length": b"0",
    "broken-chunk": b"zz",
    "status-line": b"garbage",
    "trailing-bytes": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
}
_DEFAULT_SIZES: Final = {"huge-header": 100_000, "many-headers": 1000}


def _fault(value: Any, where: str) -> Fault:
    if not isinstance(value, dict) or value.get("kind") not in tuple(_FAULTS):
        raise SpecError(f"{where}.kind must be one of {', '.join(_FAULTS)}")
    kind = value["kind"]
    spec = _object(value, where, _FAULTS[kind] | {"kind"})
    if "headers" in spec and "body" in spec:
        raise SpecError(f"{where} must have only one of headers, body")
    data = _DEFAULT_VALUES.get(kind, b"")
    if "base64" in spec:
        data = _base64(spec["base64"], f"{where}.base64")
    elif "value" in spec:
        if not isinstance(spec["value"], str):
            raise SpecError(f"{where}.value must be a string")
        data = _latin1(spec["value"], f"{where}.value")
    elif kind in ("content-length", "raw"):
        raise SpecError(f"{where}.value is required")
    place, at = "start", 0
    for member in ("headers", "body"):
        if member in spec:
            place, at = member, _integer(spec, member, where, 0, MAX_BODY)
    return Fault(
        kind=kind,
        place=place,  # type: ignore[arg-type]
        at=at,
        size=_integer(spec, "size", where, 1, 100_000_000, default=_DEFAULT_SIZES.get(kind, 1)),
        seconds=_seconds(spec, "seconds", where),
        value=data,
    )


def _object(value: Any, where: str, members: frozenset[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SpecError(f"{where} must be an object")
    unknown = sorted(set(value) - members)
    if unknown:
        raise SpecError(f"{where} has an unknown member {unknown[0]!r}; known are {', '.join(sorted(members))}")
    return value


def _headers(value: Any, where: str) -> Headers:
    if not isinstance(value, list):
        raise SpecError(f"{where} must be a list of [name, value] pairs")
    result: Headers = []
    for index, item in enumerate(value):
        here = f"{where}[{index}]"
        if not (isinstance(item, list) and len(item) == 2 and all(isinstance(part, str) for part in item)):
            raise SpecError(f"{here} must be a [name, value] pair of strings")
        if not _TOKEN.fullmatch(item[0]):
            raise SpecError(f"{here} has a name that HTTP does not allow; a fault of kind raw can send it")
        result.append((item[0], _line(item[1], here)))
    return result


def _line(value: Any, where: str) -> str:
    if not isinstance(value, str) or not _LINE.fullmatch(value):
        raise SpecError(f"{where} must be a string without control characters; a fault of kind raw can send them")
    _latin1(value, where)
    return value


def _latin1(value: str, where: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        raise SpecError(f"{where} must be latin-1 text: one character is one byte on the wire") from None


def _utf8(value: str, where: str) -> bytes:
    try:
        return value.encode("utf-8")
    except UnicodeEncodeError:
        raise SpecError(f"{where} holds half a surrogate pair; base64 can send any bytes") from None


def _base64(value: Any, where: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise SpecError(f"{where} must be base64") from None


def _integer(spec: Mapping[str, Any], member: str, where: str, low: int, high: int, default: int | None = None) -> int:
    value = spec.get(member, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise SpecError(f"{where}.{member} must be an integer from {low} to {high}")
    return value


def _seconds(spec: Mapping[str, Any], member: str, where: str) -> float:
    value = spec.get(member, 0)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= MAX_SECONDS:
        raise SpecError(f"{where}.{member} must be a number of seconds from 0 to {MAX_SECONDS}")
    return float(value)


def _boolean(spec: Mapping[str, Any], member: str, where: str) -> bool:
    value = spec.get(member, False)
    if not isinstance(value, bool):
        raise SpecError(f"{where}.{member} must be true or false")
    return value
