"""How many calls a client has under way at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator


class Lane:
    """A semaphore whose holders take several places at once, first come, first served."""

    def __init__(self, places: int) -> None:
        """``places``: how many there are."""
        self.places = places
        self._free = places
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    @contextlib.asynccontextmanager
    async def held(self, count: int = 1) -> AsyncIterator[None]:
        """Hold this many places, or all of them if there are fewer."""
        count = min(count, self.places)
        await self._take(count)
        try:
            yield
        finally:
            self._give(count)

    async def _take(self, count: int) -> None:
        if not self._queue and self._free >= count:
            self._free -= count
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((count, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give(count)  # its turn had come at that very moment
            else:
                self._give(0)  # it may have been in the way of others
            raise

    def _give(self, count: int) -> None:
        self._free += count
        while self._queue and (self._queue[0][1].done() or self._queue[0][0] <= self._free):
            wanted, turn = self._queue.popleft()
            if not turn.done():  # a waiter that gave up is only passed over
                self._free -= wanted
                turn.set_result(None)
