"""Long-running operations: what the SDKs poll until it is over."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation on a resource; times are seconds since the epoch."""

    id: str
    kind: str
    resource: str
    started: float
    ends: float


class Operations:
    """The newest operations by id.

    Simulated, not observed: the effect is there at once, and the operation reports that it runs for `seconds` more.
    """

    def __init__(self, now: Callable[[], float], seconds: float) -> None:
        self._now = now
        self._seconds = seconds
        self._operations: OrderedDict[str, Operation] = OrderedDict()
        self._latest: dict[str, Operation] = {}

    def start(self, kind: str, resource: str) -> Operation:
        """Remember a new operation; those beyond the newest 1,000 are forgotten."""
        now = self._now()
        operation = Operation(str(uuid.uuid4()), kind, resource, now, now + self._seconds)
        self._operations[operation.id] = operation
        self._latest[resource] = operation
        if len(self._operations) > _KEPT:
            _, oldest = self._operations.popitem(last=False)
            if self._latest.get(oldest.resource) is oldest:
                del self._latest[oldest.resource]
        return operation

    def get(self, operation_id: str) -> Operation | None:
        """Return the operation of that id, None when it is unknown."""
        return self._operations.get(operation_id)

    def is_running(self, operation: Operation) -> bool:
        """Return whether an operation is not over yet."""
        return self._now() < operation.ends

    def running_on(self, resource: str) -> Operation | None:
        """Return the newest operation on a resource while it runs."""
        operation = self._latest.get(resource)
        return operation if operation is not None and self.is_running(operation) else None

    def latest_on(self, resource: str) -> Operation | None:
        """Return the newest operation on a resource, over or not."""
        return self._latest.get(resource)
