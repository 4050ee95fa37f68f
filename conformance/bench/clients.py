"""What each client costs, compared with the bare HTTP stack of its language.

A bench program (`clients/<language>/bench/`) makes calls in one of two modes: `bare`, the quickstart's call on one
kept connection pool, or `client`, `score` of the published file with default options. Each round runs the two in turn,
the program on one core and the service on another; the ratio of each round's two runs counts, and of these the median.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import http.client
import json
import os
import platform
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import client_measures as measures
from client_measures import BadSample, Goal, Sample
from scoring_conformance.clients.build import BuildFailed, build, fill
from scoring_conformance.clients.manifest import Manifest, read_manifest
from scoring_conformance.clients.toolchain import missing
from scoring_conformance.paths import repository
from scoring_conformance.problems import UsageProblem

HERE = Path(__file__).resolve().parent
RESULTS = repository() / "build" / "bench-clients.json"
KEY = "bench-key-0123456789abcdef"
LONGEST_RUN = 300.0  # seconds
SERVER_BOUND = 0.9  # above this share of its core the service, not the client, limits the throughput
CORE_WANTED = 0.85  # of its core, which 64 callers fill; with less, others took it


class CannotMeasure(Exception):
    """A program or the service failed; the text is one line."""


# --- What is run ---


@dataclass(frozen=True)
class Load:
    """Calls of one kind, and what is read from them."""

    name: str
    rows: int
    reply_bytes: int
    callers: int
    goals: tuple[Goal, ...]


SMALL = Load("one caller", 2, 0, 1, (measures.CPU, measures.P50))
MANY = Load("64 callers", 2, 0, 64, (measures.THROUGHPUT,))
LARGE = Load("20 MB", 118_000, 20_000_000, 1, (measures.MEMORY,))
LOADS = (SMALL, MANY, LARGE)


@dataclass(frozen=True)
class Effort:
    """How much is run."""

    rounds: int
    small: Mapping[str, tuple[int, int]]
    """Small calls by language: those that are measured, and those before them, until compilers are done."""
    large: int
    """Calls of 20 MB; one is made before them."""

    def counts(self, load: Load, name: str) -> tuple[int, int]:
        """Return calls and warm-up calls."""
        return (self.large, 1) if load is LARGE else self.small[name]


QUICK = Effort(3, {"csharp": (6_000, 12_000), "go": (8_000, 2_000), "java": (6_000, 12_000), "python": (1_000, 200)}, 2)
FULL = Effort(9, {name: (5 * calls, 2 * warmup) for name, (calls, warmup) in QUICK.small.items()}, 5)

# --- Where it runs ---


@dataclass(frozen=True)
class Cores:
    """The program's core and the service's; None where the system cannot pin or there is but one."""

    program: int | None
    service: int | None

    @classmethod
    def choose(cls) -> Cores:
        """Take the last two that this process may use: the first one has the machine's interrupts."""
        if not hasattr(os, "sched_setaffinity"):
            return cls(None, None)
        usable = sorted(os.sched_getaffinity(0))
        return cls(usable[-1], usable[-2]) if len(usable) > 1 else cls(None, None)

    def __str__(self) -> str:
        """Say what is pinned where."""
        if self.program is None:
            return "not pinned to cores (that needs Linux and two cores): expect more noise"
        return f"program on core {self.program}, service on core {self.service}"


@contextlib.contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Let the processes that are started meanwhile run on that core only."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def environment() -> dict[str, str]:
    """Return this process's variables without those that change what an HTTP stack does, and with the key."""
    unwanted = ("PROXY", "SSL_CERT", "CA_BUNDLE")
    kept = {name: value for name, value in os.environ.items() if not any(word in name.upper() for word in unwanted)}
    return kept | {"SCORING_KEY": KEY, "NO_PROXY": "127.0.0.1"}


@dataclass(frozen=True)
class Stats:
    """What the service has done since it started."""

    requests: int
    bytes: int
    cpu_seconds: float


class Service:
    """The service of fast_service.py, in a process of its own."""

    def __init__(self, load: Load, core: int | None) -> None:
        command = [sys.executable, str(HERE / "fast_service.py"), str(load.rows), str(load.reply_bytes)]
        with pinned(core):
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
            )
        assert self._process.stdout is not None
        self.uri = self._process.stdout.readline().strip()
        if not self.uri:
            self.close()
            raise CannotMeasure("the service did not start")
        self._address = urllib.parse.urlsplit(self.uri).netloc

    def stats(self) -> Stats:
        """Ask what it has done."""
        connection = http.client.HTTPConnection(self._address, timeout=30)
        try:
            connection.request("GET", "/stats")
            return Stats(**json.loads(connection.getresponse().read()))
        except (OSError, http.client.HTTPException) as error:
            raise CannotMeasure(f"the service does not answer: {error}") from error
        finally:
            connection.close()

    def close(self) -> None:
        """End it."""
        self._process.communicate()

    def __enter__(self) -> Service:
        """Return the service."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.close()


# --- One run ---


@dataclass(frozen=True)
class Run:
    """A sample, and what the service saw of it."""

    sample: Sample
    request_bytes: float
    """Of one request, headers included."""
    service_share: float
    """Of the service's core, while calls were measured."""

    @property
    def core_share(self) -> float:
        """Return how much of a core the program used while calls were measured."""
        return self.sample.cpu_seconds / self.sample.seconds


def run_program(program: Manifest, mode: str, load: Load, effort: Effort, service: Service, core: int | None) -> Run:
    """Run a bench program once.

    Raises:
        CannotMeasure: It failed, or printed no measurement, or the service did not see what it says.
    """
    calls, warmup = effort.counts(load, language(program))
    command = [*fill(program.run, program), "--mode", mode, "--uri", service.uri, "--calls", str(calls)]
    command += ["--warmup", str(warmup), "--concurrency", str(load.callers), "--rows", str(load.rows)]
    before = service.stats()
    with pinned(core):
        process = subprocess.Popen(
            command, cwd=program.folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    try:
        out, complaint = process.communicate(timeout=LONGEST_RUN)
    except subprocess.TimeoutExpired:
        raise CannotMeasure(f"{mode}, {load.name}: not done after {LONGEST_RUN:g} s") from None
    finally:
        process.kill()
        process.wait()
    after = service.stats()
    if process.returncode != 0:
        said = " ".join(complaint.split())[-500:] or "nothing on standard error"
        raise CannotMeasure(f"{mode}, {load.name}: exit status {process.returncode}: {said}")
    try:
        sample = measures.read_sample(out, calls)
    except BadSample as error:
        raise CannotMeasure(f"{mode}, {load.name}: {error}") from error
    requests = after.requests - before.requests
    if requests != calls + warmup:
        raise CannotMeasure(f"{mode}, {load.name}: the service saw {requests} requests, not {calls + warmup}")
    cpu_of_one = (after.cpu_seconds - before.cpu_seconds) / requests
    return Run(sample, (after.bytes - before.bytes) / requests, cpu_of_one * calls / sample.seconds)


# --- All runs ---


@dataclass
class Findings:
    """What was measured of one program."""

    program: Manifest
    runs: dict[str, list[tuple[Run, Run]]] = field(default_factory=dict)
    problem: str | None = None

    def ratio(self, load: Load, goal: Goal) -> measures.Ratio | None:
        """Return the result of a goal; None where the system does not tell."""
        return measures.compare(goal, [(bare.sample, client.sample) for bare, client in self.runs[load.name]])


def programs(names: Sequence[str]) -> list[Manifest]:
    """Return the bench programs of these languages, or all.

    Raises:
        UsageProblem: No such language.
    """
    known = {path.stem: read_manifest(path) for path in sorted((HERE / "programs").glob("*.toml"))}
    for name in names:
        if name not in known:
            raise UsageProblem(f"no such language: {name}; there are {', '.join(known)}")
    return [known[name] for name in names or known]


def language(program: Manifest) -> str:
    """Return a language as the command line names it."""
    return program.name.removeprefix("bench-")  # so that what is built is not mixed up with the adapter's


def prepare(program: Manifest) -> str | None:
    """Build a program; return why it cannot run."""
    lacking = missing(program)
    if lacking is not None:
        return lacking
    try:
        build(program)
    except BuildFailed as error:
        return f"does not build: {error}"
    return None


def measure(found: Sequence[Findings], effort: Effort, cores: Cores) -> None:
    """Run every program under every load, round by round; a program that fails is left out from then on."""
    for load in LOADS:
        print(f"measuring: {load.name}", file=sys.stderr)
        with Service(load, cores.service) as service:
            for number in range(effort.rounds):
                for findings in found:
                    if findings.problem is None:
                        _round(findings, load, effort, service, cores, number)


def _round(findings: Findings, load: Load, effort: Effort, service: Service, cores: Cores, number: int) -> None:
    order = measures.MODES if number % 2 == 0 else measures.MODES[::-1]
    try:
        runs = {mode: run_program(findings.program, mode, load, effort, service, cores.program) for mode in order}
    except CannotMeasure as error:
        findings.problem = str(error)
    else:
        findings.runs.setdefault(load.name, []).append((runs["bare"], runs["client"]))


# --- What is said about them ---


def tell(found: Sequence[Findings]) -> bool:
    """Print the table; return whether all was measured and every goal is met."""
    print(measures.HEADER)
    good = bool(found)
    for findings in found:
        name = findings.program.language
        if findings.problem is not None:
            good = False
            print(f"{name:<8}NOT MEASURED: {findings.problem}")
            continue
        for load in LOADS:
            for goal in load.goals:
                result = findings.ratio(load, goal)
                good = good and result is not None and result.is_met
                print(measures.row(name, goal, result))
        for note in notes(findings):
            print(f"{name:<8}{note}")
    return good


def notes(findings: Findings) -> list[str]:
    """Return what makes a result doubtful."""
    said = []
    for load in LOADS:
        pairs = findings.runs[load.name]
        share = max(run.service_share for pair in pairs for run in pair)
        least = min(run.core_share for pair in pairs for run in pair)
        if share > SERVER_BOUND:
            said.append(f"note: {load.name}: the service used {share:.0%} of its core, so it limited the rate")
        elif load is MANY and least < CORE_WANTED:
            said.append(
                f"note: {load.name}: in one run the program got {least:.0%} of its core: a busy machine, no rates"
            )
        bare, client = pairs[0]
        if abs(client.request_bytes / bare.request_bytes - 1) > 0.2:
            said.append(
                f"note: {load.name}: a request has {bare.request_bytes:,.0f} bytes bare and"
                f" {client.request_bytes:,.0f} of the client: not the same work"
            )
    return said


def write(path: Path, found: Sequence[Findings], effort: Effort, cores: Cores) -> None:
    """Write every run and every result."""
    data: dict[str, Any] = {
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": {"system": platform.platform(), "cores": os.cpu_count(), "pinned": asdict(cores)},
        "effort": asdict(effort),
        "clients": {},
    }
    for findings in found:
        loads = [load for load in LOADS if load.name in findings.runs]
        results = [findings.ratio(load, goal) for load in loads for goal in load.goals]
        data["clients"][language(findings.program)] = {
            "problem": findings.problem,
            "results": [asdict(result) for result in results if result is not None],
            "runs": {
                name: [dict(zip(measures.MODES, map(asdict, pair), strict=True)) for pair in pairs]
                for name, pairs in findings.runs.items()
            },
        }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


class _Parser(argparse.ArgumentParser):
    """A parser that says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = _Parser(prog="conformance/bench/clients.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE", help="default: all")
    parser.add_argument("--full", action="store_true", help="more rounds and calls; default: about a minute and a half")
    parser.add_argument("--rounds", type=int, help="default: 3; 9 with --full")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a goal is not met or was not measured")
    options = parser.parse_args(arguments)
    effort = FULL if options.full else QUICK
    if options.rounds is not None:
        if options.rounds < 1:
            parser.error("--rounds must be at least 1")
        effort = replace(effort, rounds=options.rounds)
    try:
        found = [Findings(program) for program in programs(options.languages)]
        for findings in found:
            findings.problem = prepare(findings.program)
        cores = Cores.choose()
        print(f"clients against the bare HTTP stack; {effort.rounds} rounds; {cores}", flush=True)
        measure(found, effort, cores)
    except UsageProblem as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except CannotMeasure as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    good = tell(found)
    write(RESULTS, found, effort, cores)
    return 1 if options.check and not good else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
