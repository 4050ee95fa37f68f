"""The time that a service believes in: the machine's, plus what the admin plane moved it by."""

from __future__ import annotations

import time


class Clock:
    """Wall-clock time in seconds since the epoch, with an offset."""

    __slots__ = ("offset",)

    def __init__(self) -> None:
        self.offset = 0.0

    def now(self) -> float:
        """Return the service's time, in seconds since the epoch."""
        return time.time() + self.offset

    def move(self, seconds: float) -> float:
        """Move the clock by `seconds` (negative: back) and return the new time."""
        self.offset += seconds
        return self.now()
