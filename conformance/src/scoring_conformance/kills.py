"""Which wrong client turns which check red: a check that none turns red proves nothing."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from scoring_conformance.cases.model import Case
from scoring_conformance.engine.available import make_available
from scoring_conformance.engine.results import Results
from scoring_conformance.engine.run import Run
from scoring_conformance.engine.verdicts import Verdict
from scoring_conformance.mock import Mock
from scoring_conformance.mutants import Declaration, Mutant

FORMAT = 1
_SEED = "proof"
_STEP = re.compile(r"^(?:/(?:steps|meanwhile|calls)/\d+)+")


class Kills:
    """What the wrong clients turned red, in a file that is replaced whenever there is more."""

    def __init__(self, path: Path) -> None:
        """Begin with nothing; the file appears with the first ``add``."""
        self._path = path
        self._clients: set[str] = set()
        self._cases: dict[str, set[str]] = {}
        self._checks: dict[str, set[str]] = {}
        self._kinds: dict[str, set[str]] = {}

    def add(self, declared: Declaration, verdicts: Iterable[Verdict]) -> None:
        """Count one client's verdicts. One that never was a client fails everything, and counts for nothing."""
        if declared.green is not None:
            return
        self._clients.add(declared.name)
        for verdict in verdicts:
            killed = {check.place for check in verdict.findings}
            for check in verdict.checks:
                kind = self._kinds.setdefault(kind_of(check.place), set())
                if check.place in killed:
                    kind.add(declared.name)
                    self._checks.setdefault(f"{verdict.case}#{check.place}", set()).add(declared.name)
                    self._cases.setdefault(verdict.case, set()).add(declared.name)
        new = self._path.with_suffix(".json.new")
        new.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(json.dumps(self.document(), indent=1) + "\n", encoding="utf-8")
        new.replace(self._path)

    def document(self) -> dict[str, Any]:
        """Cases, checks, and kinds of checks, each with the clients that turned it red; a kind can have none."""
        parts = {"cases": self._cases, "checks": self._checks, "kinds": self._kinds}
        lists = {name: {key: sorted(found[key]) for key in sorted(found)} for name, found in parts.items()}
        return {"format": FORMAT, "clients": sorted(self._clients), **lists}

    def alive(self, cases: Sequence[Case]) -> list[str]:
        """The cases that no wrong client turned red."""
        return [case.id for case in cases if case.id not in self._cases]

    def alive_kinds(self) -> list[str]:
        """The kinds of checks that no wrong client turned red in any case."""
        return sorted(kind for kind, killers in self._kinds.items() if not killers)


def kind_of(place: str) -> str:
    """A check's place without what differs from case to case: the step, numbers, JSON pointers."""
    kind = re.sub(r"/\d+(?=/|$)", "/*", _STEP.sub("", place))
    return re.sub(r"/json_at/.*", "/json_at", kind)


def run_mutants(
    mutants: Sequence[Mutant], cases: Sequence[Case], mock: Mock, folder: Path, kills: Kills
) -> dict[str, Any]:
    """Ask the wrong clients all cases at once, count what they turn red, and return the results."""
    results = Results(folder, _SEED, {"kind": mock.kind, "server_id": mock.server_id})
    run = Run(cases, make_available([m.manifest for m in mutants]), mock, _SEED, on_verdict=results.add)
    try:
        asyncio.run(run.execute())
        document = results.write(run, complete=True)
    finally:
        results.close()
    for mutant in mutants:
        kills.add(mutant.declared, [v for v in run.verdicts.values() if v.client == mutant.name])
    return document


def in_batches(mutants: Sequence[Mutant]) -> list[Sequence[Mutant]]:
    """As many at once as there are clients in a matrix."""
    return [mutants[first : first + 4] for first in range(0, len(mutants), 4)]


def unproven_cases(declarations: Sequence[Declaration], cases: Sequence[Case]) -> list[str]:
    """A line for each case that no wrong client is declared to turn red."""
    killed = {case for declared in declarations for case in declared.kills(cases)}
    return [f"{case.id}: no mutant is declared to turn it red" for case in cases if case.id not in killed]


def page(declarations: Sequence[Declaration], cases: Sequence[Case]) -> str:
    """The page that shows, for each case, the wrong clients that turn it red."""
    kills = {d.name: d.kills(cases) for d in declarations if d.green is None}
    lines = [
        "# Which wrong client turns which case red",
        "",
        f"{len(kills)} clients with one defect each. Made by `conformance pages` from [`mutants/`](mutants/);",
        "`make test` runs them and compares. What only follows from a defect (`also` in `mutant.toml`) is not shown.",
        "",
        "| case | wrong clients |",
        "|---|---|",
    ]
    for template, group in groupby(cases, key=lambda c: c.template):
        ids = [case.id for case in group]
        cells = (_killer(name, template, ids, killed) for name, killed in kills.items())
        lines.append(f"| `{template}` | {', '.join(filter(None, cells))} |")
    lines += ["", "| wrong client | defect | cases |", "|---|---|---|"]
    defects = {d.name: d.defect for d in declarations}
    lines += [f"| `{name}` | {defects[name]} | {len(killed)} |" for name, killed in kills.items()]
    return "\n".join(lines) + "\n"


def _killer(name: str, template: str, ids: Sequence[str], killed: set[str]) -> str:
    """A wrong client, with the values of the template that it turns red unless those are all."""
    mine = [case for case in ids if case in killed]
    values = ", ".join(case.removeprefix(f"{template}/") for case in mine)
    return f"`{name}`" + (f" ({values})" if len(mine) < len(ids) else "") if mine else ""
