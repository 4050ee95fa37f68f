"""Pages of a list, with a token for the next one."""

from __future__ import annotations

import base64
import binascii
from typing import TypeVar

from scoring_mock.control.calls import bad_request

Item = TypeVar("Item")


def page_of(items: list[Item], token: str | None, count: str | None, default: int) -> tuple[list[Item], str | None]:
    """Return the page that a token stands for, and the token of the next page; None for the last one.

    `count` is what the caller wants on a page, None for `default`. Raises ControlError for bad ones.
    """
    start, size = _start(token), _size(count, default)
    end = start + size
    following = base64.urlsafe_b64encode(str(end).encode()).decode().rstrip("=") if end < len(items) else None
    return items[start:end], following


def _size(count: str | None, default: int) -> int:
    if not count:
        return default
    if not count.isdecimal() or not 0 < int(count) <= 1000:
        raise bad_request("count must be a whole number from 1 to 1000.")
    return int(count)


def _start(token: str | None) -> int:
    if not token:
        return 0
    try:
        start = int(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (ValueError, binascii.Error):
        start = -1
    if start < 0:
        raise bad_request("The token of the page is not one that this service gave out.")
    return start
