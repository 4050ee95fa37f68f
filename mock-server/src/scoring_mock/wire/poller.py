"""Readiness of many sockets behind one descriptor of the event loop.

asyncio spends about 10 microseconds on each descriptor that is ready, as much as a third of a reply takes here. An
epoll instance is itself a descriptor that can be waited for: so the loop sees one, and what is ready behind it is
called here, in batches. Where there is no epoll (macOS), the loop does the work itself.
"""

from __future__ import annotations

import asyncio
import select
import sys
from collections.abc import Callable
from time import monotonic
from typing import Final, Protocol

_BATCH: Final = 256
_TURN: Final = 0.005  # seconds after which the event loop gets its turn, also when there is more to do


class Poller(Protocol):
    """What a connection needs of an event loop for its socket."""

    def add_reader(self, fd: int, callback: Callable[[], None], /) -> object:
        """Call back whenever the descriptor can be read."""

    def remove_reader(self, fd: int, /) -> object:
        """Stop that."""

    def add_writer(self, fd: int, callback: Callable[[], None], /) -> object:
        """Call back whenever the descriptor can be written."""

    def remove_writer(self, fd: int, /) -> object:
        """Stop that."""


def poller_for(loop: asyncio.AbstractEventLoop) -> Poller:
    """Return the fastest poller that this system has."""
    if sys.platform == "linux":
        return _EpollPoller(loop)
    return loop


if sys.platform == "linux":

    class _EpollPoller:
        def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
            self._epoll = select.epoll()
            self._readers: dict[int, Callable[[], None]] = {}
            self._writers: dict[int, Callable[[], None]] = {}
            loop.add_reader(self._epoll.fileno(), self._run)

        def add_reader(self, fd: int, callback: Callable[[], None], /) -> None:
            if fd in self._writers:
                self._epoll.modify(fd, select.EPOLLIN | select.EPOLLOUT)
            else:
                self._epoll.register(fd, select.EPOLLIN)
            self._readers[fd] = callback

        def remove_reader(self, fd: int, /) -> None:
            if self._readers.pop(fd, None) is None:
                return
            if fd in self._writers:
                self._epoll.modify(fd, select.EPOLLOUT)
            else:
                self._epoll.unregister(fd)

        def add_writer(self, fd: int, callback: Callable[[], None], /) -> None:
            if fd in self._readers:
                self._epoll.modify(fd, select.EPOLLIN | select.EPOLLOUT)
            else:
                self._epoll.register(fd, select.EPOLLOUT)
            self._writers[fd] = callback

        def remove_writer(self, fd: int, /) -> None:
            if self._writers.pop(fd, None) is None:
                return
            if fd in self._readers:
                self._epoll.modify(fd, select.EPOLLIN)
            else:
                self._epoll.unregister(fd)

        def _run(self) -> None:
            readers, writers = self._readers, self._writers
            end = monotonic() + _TURN
            while events := self._epoll.poll(0, _BATCH):
                for fd, mask in events:
                    # A callback may have ended another connection of this batch, hence the second look. If its
                    # number went to a new one already, that one is called for nothing, which does no harm.
                    if mask & ~select.EPOLLOUT and (reader := readers.get(fd)) is not None:
                        reader()
                    if mask & ~select.EPOLLIN and (writer := writers.get(fd)) is not None:
                        writer()
                if monotonic() > end:
                    return
