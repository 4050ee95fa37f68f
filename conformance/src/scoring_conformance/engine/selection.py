"""What a user selects by name."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from scoring_conformance.cases.model import Case
from scoring_conformance.clients.manifest import reference_clients
from scoring_conformance.problems import UsageProblem, unknown_name


def select_cases(cases: Sequence[Case], patterns: Sequence[str]) -> list[Case]:
    """The cases that a pattern names; all of them without one.

    Raises:
        UsageProblem: a pattern selects nothing.
    """
    if not patterns:
        return list(cases)
    chosen: dict[str, Case] = {}
    for pattern in patterns:
        found = [
            c
            for c in cases
            if c.id == pattern or c.id.startswith(pattern.rstrip("/") + "/") or fnmatch.fnmatchcase(c.id, pattern)
        ]
        if not found and any(letter in pattern for letter in "*?["):
            raise UsageProblem(f"no case matches {pattern!r}; `conformance list` shows them all")
        if not found:
            raise unknown_name("case", pattern, [c.id for c in cases], "`conformance list` shows them all")
        chosen.update({c.id: c for c in found})
    return list(chosen.values())


def required_clients(text: str) -> frozenset[str]:
    """The names in ``REQUIRE``.

    Raises:
        UsageProblem: one of them is no client.
    """
    names = frozenset(name.strip() for name in text.split(",") if name.strip())
    known = reference_clients()
    for name in sorted(names):
        if name not in known:
            raise unknown_name("client in REQUIRE", name, known)
    return names
