"""Run the truth checks: the mock against the genuine server, the genuine SDKs and a generated client.

Each check is a program of its own (`README.md` has the contract); this collects one line from each.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

TRUTH = Path(__file__).resolve().parent
ROOT = TRUTH.parents[1]

CHECKS = {
    "differential": "the container profile answers as azureml-inference-server-http does",
    "sdk_v1": "azureml-core works against the v1 control plane",
    "sdk_v2": "azure-ai-ml works against the v2 control plane",
    "openapi_client": "a generated client works",
}

Verdict = Literal["proven", "failed", "could not run"]
_VERDICTS: dict[int, Verdict] = {0: "proven", 1: "failed", 3: "could not run"}


@dataclass(frozen=True)
class Outcome:
    """What a check came to; `summary` is its last line."""

    name: str
    verdict: Verdict
    summary: str
    seconds: float

    def __str__(self) -> str:
        """Return the one line that people read."""
        return f"{self.name:<15} {self.verdict}: {self.summary} ({self.seconds:.1f} s)"


def run_check(name: str, arguments: list[str]) -> Outcome:
    """Run one check in a process of its own, passing its output on."""
    started = time.monotonic()
    if not (TRUTH / name / "check.py").is_file():
        return Outcome(name, "could not run", f"there is no truth/{name}/check.py", 0.0)
    environment = os.environ | {"PYTHONPATH": str(TRUTH), "PYTHONUNBUFFERED": "1"}
    last: deque[str] = deque(maxlen=1)
    command = [sys.executable, "-m", f"{name}.check", *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, encoding="utf-8", errors="replace"
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                # The summary is printed with the verdict, so every line is held until the next one comes.
                if last:
                    print(last[0], flush=True)
                if line.strip():
                    last.append(line.rstrip("\n"))
        except KeyboardInterrupt:
            process.terminate()
            raise
    summary = last[0] if last else "it said nothing"
    verdict = _VERDICTS.get(process.returncode)
    if verdict is None:
        if last:
            print(last[0])
        verdict, summary = "failed", f"ended with exit code {process.returncode}"
    return Outcome(name, verdict, summary, time.monotonic() - started)


class _Parser(argparse.ArgumentParser):
    """A parser that says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = _Parser(prog="truth/run.py", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", action="append", choices=CHECKS, metavar="NAME", help="run this check (repeatable)")
    parser.add_argument("--strict", action="store_true", help="a check that could not run is a failure")
    parser.add_argument("--list", action="store_true", help="list the checks")
    parser.add_argument("--record", action="store_true", help="write the genuine server's replies (differential)")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Run the chosen checks; 0 when none failed."""
    options = _parse(arguments)
    if options.list:
        for name, about in CHECKS.items():
            print(f"{name:<15} {about}")
        return 0
    chosen = options.only or list(CHECKS)
    outcomes = []
    for name in dict.fromkeys(chosen):
        print(f"== {name}", flush=True)
        extra = [flag for flag, wanted in (("--record", options.record), ("--live", options.strict)) if wanted]
        outcomes.append(run_check(name, extra if name == "differential" else []))
    print()
    for outcome in outcomes:
        print(outcome)
    bad = {"failed", "could not run"} if options.strict else {"failed"}
    return 1 if any(outcome.verdict in bad for outcome in outcomes) else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
