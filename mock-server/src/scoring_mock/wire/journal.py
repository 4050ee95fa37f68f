"""What arrived and what was answered, in raw bytes, bounded by count and by size."""

from __future__ import annotations

import json
from base64 import b64encode
from collections import deque
from dataclasses import dataclass
from typing import IO, Any

from scoring_mock.wire.parser import Framing

MAX_ENTRIES = 1000
MAX_BYTES = 16 * 1024 * 1024
MAX_TOTAL_BYTES = 256 * 1024 * 1024
_ENTRY_OVERHEAD = 500  # roughly what Python needs for an entry beside its bytes


@dataclass(slots=True, eq=False, repr=False)
class ConnectionRecord:
    """The life of one connection. Times are seconds on the server's monotonic clock."""

    id: int
    listener: str
    opened: float
    peer_closed: float | None = None
    peer_reset: bool = False
    closed: float | None = None
    tls: str | None = None
    fault: str | None = None
    requests: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the record as ADMIN.md shows it."""
        return {
            "connection": self.id,
            "listener": self.listener,
            "opened": self.opened,
            "peer_closed": self.peer_closed,
            "peer_reset": self.peer_reset,
            "closed": self.closed,
            "tls": self.tls,
            "fault": self.fault,
            "requests": self.requests,
        }


@dataclass(slots=True, eq=False, repr=False)
class Entry:
    """One request and its answer."""

    seq: int
    connection: ConnectionRecord
    arrived: float
    request_line: bytes
    header_lines: list[bytes]
    framing: Framing
    body: bytes = b""
    body_dropped: int = 0
    body_complete: bool = False
    status: int | None = None
    source: str | None = None
    answered: float | None = None
    unexpected: bool = False
    size: int = 0  # what the entry counts in bytes
    dropped: bool = False  # no longer in the journal
    written: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the entry as ADMIN.md shows it."""
        connection = self.connection
        answered = None
        if self.answered is not None:
            answered = {"status": self.status, "source": self.source, "at": self.answered}
        return {
            "seq": self.seq,
            "connection": connection.id,
            "listener": connection.listener,
            "tls": connection.tls,
            "arrived": self.arrived,
            "request_line": self.request_line.decode("latin-1"),
            "header_lines": [line.decode("latin-1") for line in self.header_lines],
            "body": b64encode(self.body).decode("ascii"),
            "body_dropped": self.body_dropped,
            "body_complete": self.body_complete,
            "framing": self.framing,
            "answered": answered,
            "unexpected": self.unexpected,
            "peer_closed": connection.peer_closed,
        }


class Budget:
    """The bytes that all journals of a server may hold together."""

    __slots__ = ("_journals", "limit", "used")

    def __init__(self, limit: int = MAX_TOTAL_BYTES) -> None:
        """Allow `limit` bytes."""
        self.limit = limit
        self.used = 0
        self._journals: set[Journal] = set()

    def join(self, journal: Journal) -> None:
        """Count a journal in."""
        self._journals.add(journal)

    def leave(self, journal: Journal) -> None:
        """Forget a journal, and what it held."""
        self._journals.discard(journal)
        self.used -= journal.size

    def make_room(self) -> None:
        """Let the largest journals give way until all fit: a small one does not suffer from what others hold."""
        while self.used > self.limit:
            if not max(self._journals, key=lambda journal: journal.size).give_way():
                break


class Journal:
    """The requests of one service, the newest ones when they do not all fit."""

    __slots__ = (
        "_budget",
        "_bytes",
        "_connections",
        "_dropped_bytes",
        "_dropped_connections",
        "_dropped_requests",
        "_entries",
        "_max_bytes",
        "_max_entries",
        "_next",
        "name",
        "sink",
    )

    def __init__(
        self,
        name: str,
        budget: Budget,
        max_entries: int = MAX_ENTRIES,
        max_bytes: int = MAX_BYTES,
        sink: IO[str] | None = None,
    ) -> None:
        """Keep at most `max_entries` requests and about `max_bytes` bytes; `sink`, if any, gets every request."""
        self.name = name
        self._budget = budget
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self.sink = sink
        self._entries: deque[Entry] = deque()
        self._connections: deque[ConnectionRecord] = deque()
        self._bytes = 0
        self._next = 0
        self._dropped_requests = 0
        self._dropped_bytes = 0
        self._dropped_connections = 0
        budget.join(self)

    def add_connection(self, record: ConnectionRecord) -> None:
        """Record a connection to a listener that belongs to this service."""
        if len(self._connections) >= self._max_entries:
            self._connections.popleft()
            self._dropped_connections += 1
        self._connections.append(record)

    def begin(
        self,
        connection: ConnectionRecord,
        arrived: float,
        request_line: bytes,
        header_lines: list[bytes],
        framing: Framing,
    ) -> Entry:
        """Record a request whose head has arrived."""
        entry = Entry(self._next, connection, arrived, request_line, header_lines, framing)
        self._next += 1
        connection.requests += 1
        self._entries.append(entry)
        size = _ENTRY_OVERHEAD + len(request_line) + sum(map(len, header_lines)) + 35 * len(header_lines)
        entry.size = size
        self._bytes += size
        self._budget.used += size
        if len(self._entries) > self._max_entries:
            self.give_way()
        if self._over_budget():
            self._shrink()
        return entry

    def set_body(self, entry: Entry, body: bytes, *, complete: bool) -> None:
        """Record the body of a request, or as much of it as has come."""
        entry.body_complete = complete
        if not body:
            return
        if entry.dropped:
            self._dropped_bytes += len(body)
            return
        room = self._max_bytes
        if len(body) > room:
            entry.body_dropped = len(body) - room
            self._dropped_bytes += entry.body_dropped
            body = body[:room]
        entry.body = body
        entry.size += len(body)
        self._bytes += len(body)
        self._budget.used += len(body)
        if self._over_budget():
            self._shrink()

    def _over_budget(self) -> bool:
        return self._bytes > self._max_bytes or self._budget.used > self._budget.limit

    def _shrink(self) -> None:
        """Drop the oldest requests until the rest fits; the newest always stays, without its body if need be."""
        while self._bytes > self._max_bytes:
            if not self.give_way():
                break
        self._budget.make_room()

    def give_way(self) -> bool:
        """Drop the oldest request, or the body of the only one; returns whether there was anything to drop."""
        entries = self._entries
        if len(entries) > 1:
            oldest = entries.popleft()
            oldest.dropped = True
            self._bytes -= oldest.size
            self._budget.used -= oldest.size
            self._dropped_requests += 1
            self._dropped_bytes += len(oldest.body)
            if self.sink is not None:
                self.write(oldest)
            return True
        if not entries or not entries[0].body:
            return False
        only = entries[0]
        kept = len(only.body)
        only.body = b""
        only.body_dropped += kept
        only.size -= kept
        self._bytes -= kept
        self._budget.used -= kept
        self._dropped_bytes += kept
        return True

    @property
    def size(self) -> int:
        """What the journal counts, in bytes."""
        return self._bytes

    def to_json(self) -> dict[str, Any]:
        """Return the journal as ADMIN.md shows it."""
        return {
            "requests": [entry.to_json() for entry in self._entries],
            "connections": [record.to_json() for record in self._connections],
            "dropped": {
                "requests": self._dropped_requests,
                "bytes": self._dropped_bytes,
                "connections": self._dropped_connections,
            },
        }

    def write(self, entry: Entry) -> None:
        """Write an entry to the sink, once."""
        if self.sink is not None and not entry.written:
            entry.written = True
            self.sink.write(json.dumps({"service": self.name, **entry.to_json()}) + "\n")

    def forget(self) -> None:
        """Give the bytes back to the budget, and write what is left to the sink."""
        for entry in self._entries:
            self.write(entry)
            entry.dropped = True
        self._entries.clear()
        self._connections.clear()
        self._budget.leave(self)
        self._bytes = 0


class Journals:
    """The journals of a server by the name of the service; `UNROUTED` holds the requests that no service got."""

    UNROUTED = "*"

    def __init__(
        self,
        *,
        max_entries: int = MAX_ENTRIES,
        max_bytes: int = MAX_BYTES,
        max_total_bytes: int = MAX_TOTAL_BYTES,
        sink: IO[str] | None = None,
    ) -> None:
        """Bound each journal and their sum; `sink` gets, one JSON object a line, all that was journaled."""
        self._budget = Budget(max_total_bytes)
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._sink = sink
        self._journals: dict[str, Journal] = {}
        self.unrouted = self.of(self.UNROUTED)

    def of(self, name: str) -> Journal:
        """Return the journal of a service, made on first use."""
        journal = self._journals.get(name)
        if journal is None:
            journal = Journal(name, self._budget, self._max_entries, self._max_bytes, self._sink)
            self._journals[name] = journal
        return journal

    def drop(self, name: str) -> None:
        """Forget the journal of a service."""
        journal = self._journals.pop(name, None)
        if journal is not None:
            journal.forget()

    def close(self) -> None:
        """Write what is left to the sink."""
        for journal in self._journals.values():
            journal.forget()
        if self._sink is not None:
            self._sink.flush()
