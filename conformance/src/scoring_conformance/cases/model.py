"""A case after its file was read, checked and expanded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that a client must get right.

    ``service``, ``call`` and ``expect`` keep the grammar of ``schemas/case-file.json``; placeholders in braces are
    filled when the run is planned, because they name the service that the case gets.
    """

    id: str
    title: str
    why: str
    clause: tuple[str, ...]
    severity: Literal["must", "should"]
    requires: tuple[str, ...]
    waits: bool
    service: dict[str, Any] | None
    call: dict[str, Any]
    expect: dict[str, Any]
    path: Path
    line: int
    template: str
    """The id that stands in the file: the case's own, or that of the template it was made from."""

    @property
    def negative(self) -> bool:
        """Whether the case expects the call to fail, so that it counts only after a positive control."""
        return "error" in self.expect
