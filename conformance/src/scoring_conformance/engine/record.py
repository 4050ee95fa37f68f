"""What came of a case before it is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from scoring_conformance.engine.plan import Call
from scoring_conformance.engine.verdicts import Check


@dataclass(frozen=True, slots=True)
class Outcome:
    """One call and its reply."""

    place: str
    """That of its step; empty for a single call."""
    call: Call
    expect: Mapping[str, Any]
    reply: Mapping[str, Any]
    at: Literal["open", "call"] = "call"
    """Whether the client was refused when it was made, or the call was made."""


@dataclass(slots=True)
class Record:
    """Everything that a case is judged by."""

    language: str = ""
    outcomes: list[Outcome] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    """The journal of the case's service."""
    connections: list[dict[str, Any]] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    """What placeholders stand for."""
    asks: int = 0
    retries: list[dict[str, Any]] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    """What can only be seen while the case runs."""
    message_ids: list[str] = field(default_factory=list)
    unsupported: str | None = None
    seconds: float = 0.0
    """How long the client took, without waiting for its turn."""
