"""Query strings, read as the genuine server's web framework reads them."""

from __future__ import annotations

import codecs
from urllib.parse import parse_qsl

_ERRORS = "scoring-mock.percent"


def _keep_percent(error: UnicodeError) -> tuple[str, int]:
    """Write bytes that are not UTF-8 as percent escapes."""
    assert isinstance(error, UnicodeDecodeError)
    return "".join(f"%{byte:02X}" for byte in error.object[error.start : error.end]), error.end


codecs.register_error(_ERRORS, _keep_percent)


def query_pairs(query: str) -> list[tuple[str, str]]:
    """Return names and values, decoded, in order; a name without a value has an empty one."""
    return parse_qsl(query, keep_blank_values=True, errors=_ERRORS) if query else []


def first_value(query: str, name: str) -> str | None:
    """Return the first value of that name, None when there is none."""
    return next((value for key, value in query_pairs(query) if key == name), None)
