"""Journals read in batches: many cases end within the same few milliseconds, and one bulk read serves them all."""

from __future__ import annotations

import asyncio
from typing import Any

from scoring_conformance.mock.admin import Mock

_GATHER = 0.015  # seconds in which cases that end are read together


class JournalReader:
    """Reads the journal of one service at a time for its callers, and of many at a time from the mock."""

    def __init__(self, mock: Mock) -> None:
        self._mock = mock
        self._wanted: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._task: asyncio.Task[None] | None = None

    async def read(self, name: str) -> dict[str, Any]:
        """What a service has seen by now."""
        future = self._wanted.get(name)
        if future is None:
            future = self._wanted[name] = asyncio.get_running_loop().create_future()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._soon())
        return await asyncio.shield(future)  # others may wait for the same one

    async def _soon(self) -> None:
        while self._wanted:
            await asyncio.sleep(_GATHER)
            wanted, self._wanted = self._wanted, {}
            try:
                found = await asyncio.to_thread(self._mock.journals, list(wanted))
            except Exception as error:
                for future in wanted.values():
                    future.set_exception(error)
                    future.exception()  # read, should nobody wait any longer
                continue
            for name, future in wanted.items():
                future.set_result(found[name])
