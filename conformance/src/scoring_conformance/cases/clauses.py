"""The clauses that a case may cite: behaviour (B), service facts (W), requirements (C), the article (A)."""

from __future__ import annotations

from functools import cache
from typing import Any

from scoring_conformance.cases.marked_yaml import MarkedDocument
from scoring_conformance.paths import repository


@cache
def clauses() -> dict[str, str]:
    """Every clause that exists, with its text; an option of B02 is ``B02/<option>``."""
    found: dict[str, str] = {}
    for path in sorted((repository() / "conformance" / "clauses").glob("*.yaml")):
        data: dict[str, Any] = MarkedDocument(path).data
        for name, entry in data.items():
            if isinstance(entry, str):
                found[name] = entry
                continue
            found[name] = entry["rule"]
            for option in entry.get("options", ()):
                found[f"{name}/{option}"] = f"the option `{option}`"
    return found
