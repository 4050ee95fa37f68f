"""The value of the Date header."""

from __future__ import annotations

import time
from email.utils import formatdate

_second = -1
_text = ""


def http_date() -> str:
    """Return the machine's time as an HTTP date; formatted once a second."""
    global _second, _text
    now = int(time.time())
    if now != _second:
        _second, _text = now, formatdate(now, usegmt=True)
    return _text
