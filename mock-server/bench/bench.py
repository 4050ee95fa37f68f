"""The mock against the genuine inference server, in one run: requests a second, start, memory.

The mock does its whole work: profile aks-v1 with key authentication, the article's model behind its schema, journal on.
The genuine server scores with the same model; it has no authentication. Numbers of a shared machine are noisy: the
ratios of medians of several rounds, side by side, are what counts.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pstats
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "truth"))
sys.path.insert(0, str(HERE))

import environment  # noqa: E402
import generators  # noqa: E402
from differential import genuine  # noqa: E402
from differential.corpus import read_services  # noqa: E402
from differential.exchange import Address  # noqa: E402
from differential.mock import Mock, MockError, address_of  # noqa: E402
from generators import Generator, LoadError, Target  # noqa: E402

RESULTS = environment.ROOT / "build" / "bench" / "mock.json"
CONNECTIONS = (8, 64)
RATE_GOAL, START_GOAL, MEMORY_GOAL = 20.0, 0.25, 60.0
BODY = (
    b'{"data": [[0.0199132141783263, 0.0506801187398187, 0.104808689473925, 0.0700725447072635, -0.0359677812752396, '
    b"-0.0266789028311707, -0.0249926566315915, -0.00259226199818282, 0.00371173823343597, 0.0403433716478807], "
    b"[-0.0127796318808497, -0.044641636506989, 0.0606183944448076, 0.0528581912385822, 0.0479653430750293, "
    b"0.0293746718291555, -0.0176293810234174, 0.0343088588777263, 0.0702112981933102, 0.00720651632920303]]}"
)
SCORES = b"[217.67978776218715, 224.78937091757172]"
JSON_HEADERS = {"Content-Type": "application/json"}


def ask(target: Target) -> bytes:
    """Send one request and return the reply's body, up to the end of the connection."""
    with socket.create_connection((target.host, target.port), timeout=30) as connection:
        connection.sendall(target.raw().replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        received = b""
        while block := connection.recv(65536):
            received += block
    return received.partition(b"\r\n\r\n")[2]


def check(target: Target) -> None:
    """Look that a target scores: the load must be real work. Raises LoadError."""
    body = ask(target)
    if body != SCORES:
        raise LoadError(f"{target.path} answered {body!r}, not the scores")


def mock_target(mock: Mock) -> Target:
    """Create the service to measure, and check that the key is needed."""
    (service,) = mock.create([{"profile": "aks-v1", "auth": "key", "script": "model"}])
    host, port = address_of(service["uris"]["http"]["scoring"])
    headers = JSON_HEADERS | {"Authorization": f"Bearer {service['primary_key']}"}
    target = Target(host, port, service["scoring_path"], headers, BODY)
    check(target)
    if ask(Target(host, port, target.path, JSON_HEADERS, BODY)) == SCORES:
        raise LoadError("the mock scored without a key")
    return target


def is_healthy(address: Address) -> bool:
    """Ask for the health page."""
    try:
        with socket.create_connection(address, timeout=30) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            received = b""
            while block := connection.recv(4096):
                received += block
    except OSError:
        return False
    return received.endswith(b"Healthy")


@dataclass(frozen=True)
class Start:
    """From spawning a server to its first `Healthy`: seconds, and CPU seconds (None where they cannot be had)."""

    seconds: float
    cpu: float | None


def time_mock_start() -> Start:
    """Start `scoring-mock serve` once.

    Compiled modules may be kept, as on a user's machine; the genuine server's were compiled when it was installed.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = probe.getsockname()
    command = [sys.executable, "-m", "scoring_mock", "serve", "--profile", "container", "--port", str(address[1])]
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=variables) as process:
        try:
            while not is_healthy(address):
                if process.poll() is not None:
                    raise MockError(f"scoring-mock serve ended with {process.returncode}")
                if time.monotonic() - started > 60:
                    raise MockError("scoring-mock serve is not healthy after 60 s")
                time.sleep(0.002)
            return Start(time.monotonic() - started, cpu_seconds(process.pid))
        finally:
            process.terminate()


def time_genuine_start(python: Path) -> Start:
    """Start the genuine server once, with the same model."""
    with genuine.Genuine(python, "bench-start", read_services()["ridge"]) as server:
        return Start(server.ready(), cpu_seconds(server.pid))


def median_start(starts: list[Start]) -> Start:
    """Return the medians of both times."""
    cpu = [start.cpu for start in starts if start.cpu is not None]
    return Start(statistics.median(s.seconds for s in starts), statistics.median(cpu) if cpu else None)


def resident_mb(pid: int) -> tuple[float, float]:
    """Return a process's resident memory in MB (10^6 bytes), now and at its highest."""
    fields: dict[str, int] = {}
    with contextlib.suppress(FileNotFoundError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in ("VmRSS", "VmHWM"):
                fields[name] = int(value.split()[0])
    if not fields:  # no /proc: macOS
        command = ["ps", "-o", "rss=", "-p", str(pid)]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        fields = {"VmRSS": int(out), "VmHWM": int(out)}
    return fields["VmRSS"] * 1024 / 1e6, fields["VmHWM"] * 1024 / 1e6


def cpu_seconds(pid: int) -> float | None:
    """Return the CPU time that a process and its children have used so far; None where there is no /proc."""
    try:
        pids = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
        stats = [Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split() for number in pids]
    except FileNotFoundError:
        return None
    return sum(int(fields[11]) + int(fields[12]) for fields in stats) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """A server under test: what to send, and the process whose CPU time counts."""

    target: Target
    pid: int


@dataclass(frozen=True)
class Speed:
    """Requests a second, and CPU time of the server for each in microseconds (None where it cannot be had)."""

    rate: float
    cpu: float | None


def measure_speed(generator: Generator, server: Server, connections: int, seconds: float) -> Speed:
    """Put load on a server once."""
    before = cpu_seconds(server.pid)
    load = generator.run(server.target, connections, seconds)
    after = cpu_seconds(server.pid)
    cpu = None if before is None or after is None else (after - before) / load.requests * 1e6
    return Speed(load.rate, cpu)


def measure_speeds(
    generator: Generator, servers: dict[str, Server], options: argparse.Namespace
) -> dict[str, dict[int, Speed]]:
    """Measure each server at each number of connections, in turn, and take medians."""
    found: dict[str, dict[int, list[Speed]]] = {name: {c: [] for c in CONNECTIONS} for name in servers}
    for server in servers.values():
        generator.run(server.target, 8, 1)  # warm
    for _ in range(options.rounds):
        for connections in CONNECTIONS:
            for name, server in servers.items():
                found[name][connections].append(measure_speed(generator, server, connections, options.seconds))
    return {name: {c: median(speeds) for c, speeds in by.items()} for name, by in found.items()}


def median(speeds: list[Speed]) -> Speed:
    """Return the medians of rate and CPU time."""
    cpu = [speed.cpu for speed in speeds if speed.cpu is not None]
    return Speed(statistics.median(s.rate for s in speeds), statistics.median(cpu) if cpu else None)


def measure_memory(generator: Generator, requests: int) -> dict[str, float]:
    """Return a fresh mock's memory before and after so many requests."""
    with Mock() as mock:
        target = mock_target(mock)
        before, _ = resident_mb(mock.process.pid)
        done = 0
        while done < requests:
            done += generator.run(target, 64, 5).requests
        after, highest = resident_mb(mock.process.pid)
        check(target)
    return {"requests": done, "before": before, "after": after, "highest": highest}


def profile(generator: Generator, seconds: float) -> str:
    """Return where the mock's time goes under load, as text."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "profile"
        with Mock(launcher=("-m", "cProfile", "-o", str(path), "-m", "scoring_mock")) as mock:
            load = generator.run(mock_target(mock), 64, seconds)
        statistics_ = pstats.Stats(str(path))
    rows: list[tuple[float, int, str]] = []
    for (file, line, function), (_, calls, own, _, _) in statistics_.stats.items():  # type: ignore[attr-defined]
        place = function if file == "~" else f"{Path(file).name}:{line} {function}"
        rows.append((own, calls, place))
    total = sum(row[0] for row in rows)
    rows.sort(reverse=True)
    lines = [f"where the mock's time goes (cProfile, {load.requests} requests, slowed down by it):"]
    lines += [
        f"  {own / total:6.1%} {calls / load.requests:6.2f} calls/request  {place}" for own, calls, place in rows[:18]
    ]
    return "\n".join(lines)


class _Parser(argparse.ArgumentParser):
    """A parser that says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = _Parser(prog="mock-server/bench/bench.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--full", action="store_true", help="memory after 1,000,000 requests (default: 100,000)")
    parser.add_argument("--seconds", type=float, default=2, help="of each measurement (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of which the median is taken (default: 3)")
    parser.add_argument("--generator", choices=("auto", "wrk", "own"), default="auto", help="default: wrk if on PATH")
    parser.add_argument("--profile", action="store_true", help="show where the mock's time goes in any case")
    options = parser.parse_args(arguments)
    if options.seconds <= 0 or options.rounds < 1:
        parser.error("--seconds must be above 0 and --rounds at least 1")
    return options


def verdict(reached: bool) -> str:
    """Say whether a goal was reached."""
    return "reached" if reached else "MISSED"


def main(arguments: list[str]) -> int:
    """Measure and print; 0 unless something could not be measured."""
    options = parse(arguments)
    try:
        generator = generators.choose(options.generator)
        return run(generator, options)
    except (LoadError, MockError, genuine.StartError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


def run(generator: Generator, options: argparse.Namespace) -> int:
    """Run all measurements."""
    try:
        python: Path | None = genuine.interpreter()
    except environment.Unavailable as error:
        python = None
        print(f"no ratios: azureml-inference-server-http cannot be installed: {error}")
    print(
        f"mock: aks-v1, key authentication, model behind its schema, journal on; body {len(BODY)} bytes; "
        f"load: {generator.name}; {os.cpu_count()} CPUs; medians of {options.rounds} rounds of {options.seconds:g} s",
        flush=True,
    )
    results: dict[str, Any] = {"generator": generator.name, "cpus": os.cpu_count()}
    with contextlib.ExitStack() as stack:
        mock = stack.enter_context(Mock())
        servers = {"mock": Server(mock_target(mock), mock.process.pid)}
        if python:
            service = {"bench": read_services()["ridge"]}
            started = stack.enter_context(genuine.running(python, service))["bench"]
            servers["genuine"] = Server(Target(*started.address, "/score", JSON_HEADERS, BODY), started.pid)
            check(servers["genuine"].target)
        speeds = measure_speeds(generator, servers, options)
    results["speed"] = {name: {str(c): vars(speed) for c, speed in by.items()} for name, by in speeds.items()}
    ratios = []
    for connections in CONNECTIONS:
        mine = speeds["mock"][connections]
        line = f"{connections:>2} connections: mock {mine.rate:7,.0f} requests/s"
        if python:
            theirs = speeds["genuine"][connections]
            ratios.append(mine.rate / theirs.rate)
            line += f", genuine {theirs.rate:6,.0f}, ratio {ratios[-1]:5.1f}"
            line += f" (goal: at least {RATE_GOAL:g}; {verdict(ratios[-1] >= RATE_GOAL)})"
            if mine.cpu and theirs.cpu:
                line += f"; CPU a request {mine.cpu:.0f} us against {theirs.cpu:.0f}, ratio {theirs.cpu / mine.cpu:.1f}"
        print(line, flush=True)

    starts: dict[str, list[Start]] = {"mock": [], "genuine": []}
    time_mock_start()  # warm
    for _ in range(7):
        starts["mock"].append(time_mock_start())
        if python:
            starts["genuine"].append(time_genuine_start(python))
    begun = {name: median_start(times) for name, times in starts.items() if times}
    results["start"] = {name: vars(start) for name, start in begun.items()}
    line = f"start to first Healthy: mock {begun['mock'].seconds:.3f} s"
    if python:
        mock_start, genuine_start = begun["mock"], begun["genuine"]
        share = mock_start.seconds / genuine_start.seconds
        line += f", genuine {genuine_start.seconds:.3f} s, ratio {share:.2f}"
        line += f" (goal: at most {START_GOAL:g}; {verdict(share <= START_GOAL)})"
        if mock_start.cpu and genuine_start.cpu:
            line += f"; CPU {mock_start.cpu:.2f} s against {genuine_start.cpu:.2f}"
            line += f", ratio {mock_start.cpu / genuine_start.cpu:.2f}"
    print(line, flush=True)

    memory = results["memory_mb"] = measure_memory(generator, 1_000_000 if options.full else 100_000)
    print(
        f"memory after {memory['requests']:,.0f} requests: {memory['after']:.1f} MB, at most {memory['highest']:.1f}, "
        f"before {memory['before']:.1f} (goal: at most {MEMORY_GOAL:g}; {verdict(memory['highest'] <= MEMORY_GOAL)})"
        + ("" if options.full else "; --full: 1,000,000 requests")
    )
    if options.profile or any(ratio < RATE_GOAL for ratio in ratios):
        print(profile(generator, options.seconds))
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
