"""Where the suite's data lies in the repository."""

from __future__ import annotations

from pathlib import Path

from scoring_conformance.problems import UsageProblem


def repository() -> Path:
    """The root of the repository: the nearest folder above this file, or above the current one, with the cases."""
    for start in (Path(__file__).resolve(), Path.cwd().resolve() / "x"):
        for folder in start.parents:
            if (folder / "conformance" / "cases").is_dir() and (folder / "conformance" / "schemas").is_dir():
                return folder
    raise UsageProblem("no conformance/cases folder above the current one: run this inside the repository")
