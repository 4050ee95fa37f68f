"""The value of the Date header."""

from __future__ import annotations

import time

# Not strftime, whose names depend on the locale; not email.utils, whose import takes longer than the mock's start.
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_second = -1
_text = ""


def http_date() -> str:
    """Return the machine's time as an HTTP date; formatted once a second."""
    global _second, _text
    now = int(time.time())
    if now != _second:
        _second, _text = now, format_date(now)
    return _text


def format_date(seconds: int) -> str:
    """Return seconds since the epoch as an HTTP date, for example `Sun, 06 Nov 1994 08:49:37 GMT`."""
    t = time.gmtime(seconds)
    clock = f"{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d}"
    return f"{_DAYS[t.tm_wday]}, {t.tm_mday:02d} {_MONTHS[t.tm_mon - 1]} {t.tm_year:04d} {clock} GMT"
