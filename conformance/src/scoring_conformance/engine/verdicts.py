"""A verdict and what it rests on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

VerdictName = Literal["pass", "fail", "warn", "unsupported", "error", "not run"]

GREEN: frozenset[str] = frozenset({"pass"})
BAD: frozenset[str] = frozenset({"fail", "error"})


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison: its place in the case's expectation, and whether it held."""

    place: str
    """A JSON path into the case, such as ``/requests/0/headers/authorization/equals``."""
    held: bool
    expected: Any = None
    actual: Any = None


@dataclass(slots=True)
class Verdict:
    """What became of one case with one client."""

    client: str
    case: str
    verdict: VerdictName
    severity: str
    reason: str = ""
    """Why there is no judgement: for error, unsupported and not run."""
    checks: list[Check] = field(default_factory=list)
    seconds: float = 0.0
    declared: bool = False
    """Unsupported, and the client's manifest says why."""

    @property
    def findings(self) -> list[Check]:
        """The checks that did not hold."""
        return [check for check in self.checks if not check.held]
