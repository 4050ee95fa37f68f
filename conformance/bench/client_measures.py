"""What a benchmark of a client says: samples, ratios, goals. No processes here."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Literal

MODES = ("bare", "client")


class BadSample(Exception):
    """A program printed something else than its measurement."""


@dataclass(frozen=True)
class Sample:
    """One run of a bench program, as it reports it; the warm-up is in none of the times."""

    calls: int
    seconds: float
    cpu_seconds: float
    p50_us: float
    p99_us: float
    peak_rss_bytes: int
    """Of the whole process and its whole life; 0 where the system does not tell."""


def read_sample(output: str, calls: int) -> Sample:
    """Return what a program printed: one line, one JSON object with exactly the members of a Sample.

    Args:
        output: The program's whole standard output.
        calls: How many calls were ordered.

    Raises:
        BadSample: Anything else, a number that cannot be, or another number of calls.
    """
    lines = output.splitlines()
    if len(lines) != 1:
        raise BadSample(f"{len(lines)} lines on standard output, not 1")
    try:
        data = json.loads(lines[0])
    except ValueError:
        raise BadSample(f"no JSON: {lines[0][:200]}") from None
    wanted = [field.name for field in fields(Sample)]
    if not isinstance(data, dict) or sorted(data) != sorted(wanted):
        raise BadSample(f"not exactly the members {', '.join(wanted)}: {lines[0][:200]}")
    for name, value in data.items():
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value) or value < 0:
            raise BadSample(f"{name} is no number: {value!r}")
        if value == 0 and name != "peak_rss_bytes":
            raise BadSample(f"{name} is 0")
    if data["calls"] != calls:
        raise BadSample(f"{data['calls']} calls were made, not {calls}")
    return Sample(**data)


@dataclass(frozen=True)
class Goal:
    """A limit for the ratio of client to bare stack."""

    name: str
    label: str
    unit: str
    value: Callable[[Sample], float]
    limit: float
    kind: Literal["at most", "at least"]

    def is_met(self, ratio: float) -> bool:
        """Return whether a ratio is within the limit; the limit itself is."""
        return ratio <= self.limit if self.kind == "at most" else ratio >= self.limit


CPU = Goal("cpu", "CPU a call", "us", lambda s: s.cpu_seconds / s.calls * 1e6, 1.25, "at most")
P50 = Goal("p50", "median time a call", "us", lambda s: s.p50_us, 1.15, "at most")
THROUGHPUT = Goal("throughput", "calls a second, 64 callers", "/s", lambda s: s.calls / s.seconds, 0.9, "at least")
MEMORY = Goal("memory", "peak memory, 20 MB each way", "MB", lambda s: s.peak_rss_bytes / 1e6, 1.25, "at most")


@dataclass(frozen=True)
class Ratio:
    """What the rounds say about one goal; `lowest` to `highest` is the spread of the rounds' ratios."""

    goal: str
    bare: float
    client: float
    ratio: float
    lowest: float
    highest: float
    limit: float
    is_met: bool


def compare(goal: Goal, pairs: Sequence[tuple[Sample, Sample]]) -> Ratio | None:
    """Return the median of the rounds' ratios, each of a bare run and the client's run beside it.

    So that a machine that is slower for a while slows both down and not one. None where the system does not tell.
    """
    bare = [goal.value(pair[0]) for pair in pairs]
    client = [goal.value(pair[1]) for pair in pairs]
    if 0 in bare or 0 in client:
        return None
    ratios = [c / b for b, c in zip(bare, client, strict=True)]
    ratio = statistics.median(ratios)
    return Ratio(
        goal=goal.name,
        bare=statistics.median(bare),
        client=statistics.median(client),
        ratio=ratio,
        lowest=min(ratios),
        highest=max(ratios),
        limit=goal.limit,
        is_met=goal.is_met(ratio),
    )


HEADER = f"{'':<8}{'':<30}{'bare':>10}{'client':>10}      ratio (lowest - highest)  goal"


def row(language: str, goal: Goal, result: Ratio | None) -> str:
    """Return the table's line about one goal."""
    if result is None:
        return f"{language:<8}{goal.label:<30}not known on this system"
    sign = "<=" if goal.kind == "at most" else ">="
    return (
        f"{language:<8}{goal.label:<30}{result.bare:>10,.0f}{result.client:>10,.0f} {goal.unit:<3}"
        f"{result.ratio:>7.2f} ({result.lowest:.2f} - {result.highest:.2f}){'':<9}"
        f"{sign} {result.limit:<5g}{'met' if result.is_met else 'NOT MET'}"
    )
