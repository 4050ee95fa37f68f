"""Files in a multipart/form-data body, read as leniently as the genuine server reads them (Werkzeug 3.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

from scoring_mock.scripts.raw_request import RawRequest

_BREAK: Final = rb"(?:\r\n|\n|\r)"
_BLANK_LINE: Final = re.compile(rb"\r\n\r\n|\r\r|\n\n")
_FOLDED: Final = re.compile(_BREAK + rb"[ \t]")

_TOKEN: Final = r"[\w!#$%&'*+\-.^`|~]+"  # noqa: S105 a syntax, not a secret
_KEY: Final = re.compile(rf"({_TOKEN})=", re.ASCII)
_VALUE: Final = re.compile(rf'{_TOKEN}|"(?:\\[\\"]|[^"])*"', re.ASCII)
_NEXT: Final = re.compile(r";[ \t]*")
_ENCODED: Final = re.compile(rf"([^']*)'[^']*'({_TOKEN})", re.ASCII)
_ESCAPED: Final = re.compile(r"\\(.)")
_CHARSETS: Final = frozenset(("ascii", "us-ascii", "utf-8", "iso-8859-1"))


def uploaded_file(request: RawRequest, field: str) -> tuple[str, bytes]:
    """Return name and content of the first file in a field of a form.

    Raises KeyError when there is none, and, as the genuine server ignores such a form altogether, when any part of it
    is malformed.
    """
    media_type, parameters = _parameters(request.content_type)
    boundary = parameters.get("boundary")
    if media_type.lower() != "multipart/form-data" or not boundary:
        raise KeyError(field)
    try:
        files = list(_files(request.body, boundary.encode("ascii")))
    except ValueError:
        raise KeyError(field) from None
    for name, filename, content in files:
        if name == field:
            return filename, content
    raise KeyError(field)


def _files(body: bytes, boundary: bytes) -> Iterator[tuple[str | None, str, bytes]]:
    """Yield field, file name and content of each part that is a file. Raises ValueError for a malformed form."""
    # A delimiter stands between two line ends, any of the three kinds; before the first one there may be none.
    delimiter = rb"--%s(?:(--)|[^\S\n\r]*%s)" % (re.escape(boundary), _BREAK)
    between = re.compile(_BREAK + delimiter)
    here = re.compile(_BREAK + b"?" + delimiter).search(body)
    while here is not None:
        if here[1]:
            return
        blank = _BLANK_LINE.search(body, here.end())
        if blank is None:
            break
        disposition = _disposition(body[here.end() : blank.start()])
        # The delimiter's first line end may be the second one of the blank line: then the part is empty.
        here = between.search(body, (blank.start() + blank.end()) // 2)
        if here is not None and "filename" in disposition:
            yield disposition.get("name"), disposition["filename"], body[blank.end() : here.start()]
    raise ValueError("the form does not end with its boundary")


def _disposition(head: bytes) -> dict[str, str]:
    for line in _FOLDED.sub(b" ", head).splitlines():
        name, _, value = line.decode().partition(":")
        if name.strip(" \t").lower() == "content-disposition":
            return _parameters(value.strip(" \t"))[1]
    raise ValueError("a part without Content-Disposition")


def _parameters(header: str) -> tuple[str, dict[str, str]]:
    """Split a header value like `form-data; name="image"` into its first word and its parameters, decoded."""
    first, _, rest = header.partition(";")
    rest = rest.strip(" \t")
    parameters: dict[str, str] = {}
    position = 0
    while position < len(rest):
        if key := _KEY.match(rest, position):
            position = key.end()
            if value := _VALUE.match(rest, position):
                _add(parameters, key[1].lower(), value[0])
                # A ; inside a quoted string ends nothing, one inside a token does not exist.
                position = value.end()
            elif rest.startswith('"', position):
                break
        following = _NEXT.search(rest, position)
        if following is None:
            break
        position = following.end()
    return first.strip(" \t"), parameters


def _add(parameters: dict[str, str], key: str, value: str) -> None:
    if not key.endswith("*"):
        if len(value) >= 2 and value.startswith('"'):
            value = _ESCAPED.sub(r"\1", value[1:-1])
        parameters[key] = value.replace("%22", '"')
        return
    # RFC 8187: filename*=UTF-8''%c3%a9.png
    encoded = _ENCODED.fullmatch(value)
    charset = encoded[1].lower() if encoded else ""
    if encoded:
        value = encoded[2]
    parameters[key[:-1]] = unquote(value, charset) if charset in _CHARSETS else value
