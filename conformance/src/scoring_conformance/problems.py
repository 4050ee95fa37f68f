"""What can go wrong that is not a verdict."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UsageProblem(Exception):
    """Bad input from the user: one line that says what is wrong, where, and what to do. Exit status 2."""


class HarnessFault(Exception):
    """The suite or its mock failed, so no verdict counts. Exit status 3."""


def unknown_name(kind: str, name: str, known: Iterable[str], hint: str = "") -> UsageProblem:
    """A usage problem that offers the nearest known names."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    elif not hint:
        hint = f"known: {', '.join(known) or 'none'}"
    return UsageProblem(f"unknown {kind} {name!r}: {hint}")
