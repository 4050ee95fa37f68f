"""How fast the suite is, warm: verdicts a second, and the harness's share of the CPU.

The share is a ratio within the run: the harness's CPU time against that of the clients and the mock.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time

from scoring_conformance.cases.loader import load_cases
from scoring_conformance.clients.manifest import chosen_clients
from scoring_conformance.engine.available import make_available
from scoring_conformance.engine.run import Client, Run
from scoring_conformance.mock import open_mock


def measure(clients: list[Client], label: str) -> None:
    """One run of all cases, and one line about it."""
    cases = load_cases()
    mock = open_mock("embedded")
    try:
        run = Run(cases, clients, mock, "bench")
        own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        begun = time.monotonic()
        asyncio.run(run.execute())
        wall = time.monotonic() - begun
    finally:
        mock.close()
    own_cpu = _cpu(resource.getrusage(resource.RUSAGE_SELF)) - _cpu(own)
    children_cpu = _cpu(resource.getrusage(resource.RUSAGE_CHILDREN)) - _cpu(children)
    passed = sum(v.verdict == "pass" for v in run.verdicts.values())
    share = own_cpu / (own_cpu + children_cpu)
    print(
        f"{label:<10} {len(run.verdicts):>5} verdicts ({passed} pass) {wall:6.2f} s"
        f" {len(run.verdicts) / wall:6.0f} verdicts/s;"
        f" harness {own_cpu:.2f} s of CPU = {share:.0%} of all, {own_cpu / wall:.0%} of the wall time"
    )


def _cpu(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Each client alone, then all together."""
    clients = [c for c in make_available(chosen_clients(sys.argv[1:]), print) if c.not_run is None and c.error is None]
    print(f"warm run on {os.cpu_count()} cores, mock embedded, process starts included")
    for client in clients:
        measure([client], client.manifest.name)
    if len(clients) > 1:
        measure(clients, "all")


main()
