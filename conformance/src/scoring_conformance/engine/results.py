"""Verdicts on disk: appended as they fall, and one document that is always whole."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from scoring_conformance import schemas
from scoring_conformance.engine.run import Run
from scoring_conformance.engine.verdicts import BAD, Verdict
from scoring_conformance.problems import UsageProblem

FORMAT = 1


class Results:
    """Writes ``results.jsonl`` verdict by verdict, and ``results.json`` at the end, also of a run cut short."""

    def __init__(self, folder: Path, seed: str, mock: Mapping[str, str]) -> None:
        """Start a new pair of files.

        Raises:
            UsageProblem: the folder cannot be written.
        """
        self._json = folder / "results.json"
        self._seed = seed
        self._mock = dict(mock)
        self._verdicts: dict[tuple[str, str], Verdict] = {}
        self._started = datetime.now(UTC)
        self._begun = time.monotonic()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lines: TextIO = (folder / "results.jsonl").open("w", encoding="utf-8")
        except OSError as error:
            raise UsageProblem(f"{folder}: results cannot be written there: {error.strerror}") from error

    def add(self, verdict: Verdict) -> None:
        """Append one verdict; it is on disk when this returns."""
        self._verdicts[verdict.client, verdict.case] = verdict
        self._lines.write(json.dumps(_plain(verdict)) + "\n")
        self._lines.flush()

    def write(self, run: Run | None, *, complete: bool) -> dict[str, Any]:
        """Replace ``results.json`` in one step; the document that was written."""
        document = self.document(run, complete=complete)
        error = schemas.first_error("results", document)
        if error is not None:
            raise AssertionError(f"the suite's own results do not match their schema: {schemas.explain(error)}")
        new = self._json.with_suffix(".json.new")
        new.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        new.replace(self._json)
        return document

    def document(self, run: Run | None, *, complete: bool) -> dict[str, Any]:
        """The whole of the results. Only the member ``run`` and each ``seconds`` differ between runs with one seed."""
        ordered = [self._verdicts[key] for key in sorted(self._verdicts)]
        counts = Counter(v.verdict for v in ordered)
        clients = {}
        for client in run.clients if run is not None else ():
            name = client.manifest.name
            mine = Counter(v.verdict for v in ordered if v.client == name)
            clients[name] = {
                "language": client.manifest.language,
                "said": dict(run.hellos.get(name, {})) if run is not None else {},
                "summary": dict(sorted(mine.items())),
            }
            if client.not_run is not None:
                clients[name]["not_run"] = client.not_run
        return {
            "format": FORMAT,
            "seed": self._seed,
            "complete": complete,
            "summary": dict(sorted(counts.items())),
            "clients": dict(sorted(clients.items())),
            "verdicts": [_plain(v) for v in ordered],
            "run": {
                "started": self._started.isoformat(timespec="seconds"),
                "seconds": round(time.monotonic() - self._begun, 3),
                "mock": self._mock,
            },
        }

    def close(self) -> None:
        """Close the line file."""
        self._lines.close()


def exit_status(document: Mapping[str, Any], required: frozenset[str]) -> int:
    """0: every client that ran conforms; 1: one does not, or a required one did not run; 3: nothing ran."""
    verdicts = document["verdicts"]
    ran = [v for v in verdicts if v["verdict"] not in ("not run",)]
    if any(v["verdict"] in BAD for v in verdicts):
        return 1
    lacking = [v for v in verdicts if v["verdict"] in ("not run", "unsupported") and "declared" not in v]
    if any(v["client"] in required for v in lacking):
        return 1
    return 0 if ran and document["complete"] else 3


def same(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[str]:
    """Where two results differ in more than times and ids; empty when they do not."""
    differences = []
    for name in sorted((set(left) | set(right)) - {"run", "verdicts"}):
        if left.get(name) != right.get(name):
            differences.append(f"{name}: {left.get(name)!r} and {right.get(name)!r}")
    first = {(v["client"], v["case"]): {k: x for k, x in v.items() if k != "seconds"} for v in left["verdicts"]}
    second = {(v["client"], v["case"]): {k: x for k, x in v.items() if k != "seconds"} for v in right["verdicts"]}
    for key in sorted(set(first) | set(second)):
        if first.get(key) != second.get(key):
            differences.append(f"{key[0]} {key[1]}: {_short(first.get(key))} and {_short(second.get(key))}")
    return differences


def _short(verdict: Mapping[str, Any] | None) -> str:
    return (
        "absent"
        if verdict is None
        else json.dumps({k: v for k, v in verdict.items() if k not in ("client", "case")})[:300]
    )


def _plain(verdict: Verdict) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "client": verdict.client,
        "case": verdict.case,
        "verdict": verdict.verdict,
        "severity": verdict.severity,
        "leg": "adapter",
        "checks": len(verdict.checks),
        "findings": [
            {"check": f"{verdict.case}#{c.place}", "expected": c.expected, "actual": c.actual} for c in verdict.findings
        ],
        "seconds": round(verdict.seconds, 4),
    }
    if verdict.declared:
        plain["declared"] = True
    if verdict.reason:
        plain["reason"] = verdict.reason
    return plain
