"""A request as the layers of a service see it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from scoring_mock.http_types import Request

_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")


@dataclass(slots=True)
class Call:
    """A request, its path below the service's own, its query, and its headers by lower-case name.

    `path` starts with one slash and is percent-decoded; it is empty for an absolute target without a path. `query` is
    neither decoded nor has it a question mark. Repeated headers are joined by commas, but for Content-Type, whose last
    value counts (both as gunicorn does). `unreadable`: the chunks of the body are malformed or end too early.
    """

    request: Request
    method: str
    path: str
    query: str
    headers: dict[str, str]
    unreadable: bool = False


def joined_headers(fields: list[tuple[str, str]]) -> dict[str, str]:
    """Return the header fields by name."""
    headers = dict(fields)
    if len(headers) != len(fields):
        headers = {}
        for name, value in fields:
            if name in headers and name != "content-type":
                headers[name] += "," + value
            else:
                headers[name] = value
    return headers


def split_target(target: str) -> tuple[str, str]:
    """Split a request target into its path, still encoded, and its query; absolute form loses scheme and authority.

    An absolute target may have an empty path.
    """
    if not target.startswith("/"):
        origin = _ORIGIN.match(target)
        if origin:
            target = target[origin.end() :]
    target, _, _ = target.partition("#")
    path, _, query = target.partition("?")
    return path, query


def decoded_path(path: str) -> str:
    """Percent-decode a path; any number of leading slashes counts as one, an empty path stays empty."""
    if not path:
        return ""
    if "%" in path:
        path = unquote(path, errors="replace")
    return "/" + path.lstrip("/")


def asks_to_close(call: Call) -> bool:
    """Return whether the client wants the connection closed after this reply."""
    connection = call.headers.get("connection")
    if connection is None:
        return call.request.version < (1, 1)
    return connection.lower() == "close" or call.request.version < (1, 1)
