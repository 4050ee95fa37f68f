"""Which deployment of an endpoint answers (W30), and how many requests it has in hand (W29)."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from time import monotonic


class Traffic:
    """Deployments by name with their shares of the traffic, dealt out evenly: of 90 and 10, one in ten."""

    def __init__(self, shares: Iterable[tuple[str, int]]) -> None:
        self.shares: dict[str, int] = dict(shares)
        self._credit: dict[str, int] = dict.fromkeys(self.shares, 0)

    def choose(self, wanted: str | None) -> str | None:
        """Return the deployment for a request: the wanted one, else by share; None when there is none."""
        if wanted is not None:
            return wanted if wanted in self.shares else None
        total = sum(self.shares.values())
        if not total:
            return None
        for name, share in self.shares.items():
            self._credit[name] += share
        chosen = max(self._credit, key=lambda name: self._credit[name])
        self._credit[chosen] -= total
        return chosen


class Capacity:
    """How many requests are in flight. A request is in flight until its answer's delay is over."""

    def __init__(self, at_once: int, queue_wait: float) -> None:
        """Take `at_once` requests; further ones wait up to `queue_wait` seconds for a free place."""
        self._at_once = at_once
        self._queue_wait = queue_wait
        self._ends: list[float] = []

    def enter(self) -> float | None:
        """Return the seconds that a request must wait for its turn; None when it is refused."""
        now = monotonic()
        ends = self._ends
        while ends and ends[0] <= now:
            heapq.heappop(ends)
        waiting = len(ends) - self._at_once
        if waiting < 0:
            return 0.0
        free_in = heapq.nsmallest(waiting + 1, ends)[-1] - now
        return free_in if free_in <= self._queue_wait else None

    def hold(self, seconds: float) -> None:
        """Remember a request that is in flight for so many seconds from now."""
        heapq.heappush(self._ends, monotonic() + seconds)
