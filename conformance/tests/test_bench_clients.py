"""The benchmark of the clients: what it reads and concludes, and that it notices a program that skips the work."""

from __future__ import annotations

import http.client
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from scoring_conformance.clients.manifest import Manifest, reference_clients
from scoring_conformance.paths import repository

BENCH = repository() / "conformance" / "bench"
sys.path.insert(0, str(BENCH))

import client_measures as measures  # noqa: E402
import fast_service  # noqa: E402

import clients  # noqa: E402

GOOD: dict[str, Any] = {
    "calls": 10,
    "seconds": 2.0,
    "cpu_seconds": 0.5,
    "p50_us": 90,
    "p99_us": 200.5,
    "peak_rss_bytes": 30_000_000,
}


def sample(**changes: Any) -> measures.Sample:
    return measures.Sample(**{**GOOD, **changes})


# --- What a program printed ---


def test_a_good_line_is_read() -> None:
    assert measures.read_sample(json.dumps(GOOD) + "\n", 10) == sample()


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ("", "0 lines"),
        (json.dumps(GOOD) + "\n" + json.dumps(GOOD), "2 lines"),
        ("warming up\n" + json.dumps(GOOD), "2 lines"),
        ("10 calls", "no JSON"),
        ("[1]", "not exactly the members"),
        (json.dumps({k: v for k, v in GOOD.items() if k != "cpu_seconds"}), "not exactly the members"),
        (json.dumps({**GOOD, "extra": 1}), "not exactly the members"),
        (json.dumps({**GOOD, "seconds": 0}), "seconds is 0"),
        (json.dumps({**GOOD, "seconds": -1}), "seconds is no number: -1"),
        (json.dumps({**GOOD, "p50_us": "90"}), "p50_us is no number: '90'"),
        (json.dumps({**GOOD, "calls": True}), "calls is no number: True"),
        (json.dumps(GOOD).replace("2.0", "NaN"), "seconds is no number: nan"),
        (json.dumps({**GOOD, "calls": 9}), "9 calls were made, not 10"),
    ],
)
def test_anything_else_is_refused(output: str, why: str) -> None:
    with pytest.raises(measures.BadSample, match=why):
        measures.read_sample(output, 10)


# --- Ratios and goals ---


def test_each_goal_reads_its_own_number() -> None:
    assert measures.CPU.value(sample()) == pytest.approx(50_000)
    assert measures.P50.value(sample()) == 90
    assert measures.THROUGHPUT.value(sample()) == 5
    assert measures.MEMORY.value(sample()) == 30


def test_the_median_of_the_rounds_ratios_counts_not_the_ratio_of_medians() -> None:
    pairs = [(sample(p50_us=b), sample(p50_us=c)) for b, c in ((100, 110), (200, 210), (10, 30))]
    result = measures.compare(measures.P50, pairs)
    assert result is not None
    assert result.ratio == pytest.approx(1.1)
    assert result.lowest == pytest.approx(1.05)
    assert result.highest == pytest.approx(3.0)
    assert (result.bare, result.client) == (100, 110)
    assert result.is_met


@pytest.mark.parametrize(
    ("goal", "ratio", "is_met"),
    [
        (measures.CPU, 1.25, True),
        (measures.CPU, 1.26, False),
        (measures.P50, 1.15, True),
        (measures.P50, 1.16, False),
        (measures.MEMORY, 1.25, True),
        (measures.MEMORY, 1.26, False),
        (measures.THROUGHPUT, 0.9, True),
        (measures.THROUGHPUT, 0.89, False),
        (measures.THROUGHPUT, 2.0, True),
    ],
)
def test_a_goal_is_met_up_to_its_limit(goal: measures.Goal, ratio: float, is_met: bool) -> None:
    assert goal.is_met(ratio) is is_met


def test_the_table_says_met_and_not_met() -> None:
    slow = measures.compare(measures.P50, [(sample(p50_us=100), sample(p50_us=120))])
    fast = measures.compare(measures.THROUGHPUT, [(sample(seconds=1.0), sample(seconds=0.5))])
    assert measures.row("Go", measures.P50, slow).split()[-3:] == ["1.15", "NOT", "MET"]
    assert measures.row("Go", measures.THROUGHPUT, fast).split()[-3:] == [">=", "0.9", "met"]


def test_memory_that_the_system_does_not_tell_is_no_result() -> None:
    unknown = measures.read_sample(json.dumps({**GOOD, "peak_rss_bytes": 0}), 10)
    assert measures.compare(measures.MEMORY, [(sample(), unknown)]) is None
    assert measures.row("Go", measures.MEMORY, None).endswith("not known on this system")


# --- The service ---


@pytest.mark.parametrize(("rows", "size"), [(1, 0), (2, 0), (2, 1_000), (1, 100), (1_000, 50_000)])
def test_the_service_replies_with_that_many_predictions_and_bytes(rows: int, size: int) -> None:
    head, _, body = fast_service.scoring_reply(rows, size).partition(b"\r\n\r\n")
    assert len(json.loads(body)) == rows
    assert len(body) >= size
    assert f"Content-Length: {len(body)}".encode() in head.split(b"\r\n")


@pytest.fixture(scope="module")
def service() -> Iterator[clients.Service]:
    with clients.Service(clients.SMALL, None) as running:
        yield running


def test_the_service_wants_the_key_and_counts(service: clients.Service) -> None:
    before = service.stats()
    parts = urlsplit(service.uri)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    body = b"x" * 300_000  # more than one block
    for key, status in ((clients.KEY, 200), ("wrong", 401), (clients.KEY, 200)):
        connection.request("POST", parts.path, body, {"Authorization": f"Bearer {key}"})
        reply = connection.getresponse()
        assert reply.status == status
        reply.read()
    connection.close()
    after = service.stats()
    assert after.requests - before.requests == 2
    assert after.bytes - before.bytes > 900_000


# --- Programs ---

HONEST = """
import argparse, json, os, sys, urllib.request
parser = argparse.ArgumentParser()
for name in ("mode", "uri"):
    parser.add_argument("--" + name)
for name in ("calls", "warmup", "concurrency", "rows"):
    parser.add_argument("--" + name, type=int)
options = parser.parse_args()
def call():
    headers = {"Authorization": "Bearer " + os.environ["SCORING_KEY"]}
    urllib.request.urlopen(urllib.request.Request(options.uri, b"{}", headers)).read()
"""
LINE = 'print(json.dumps({**%r, "calls": options.calls}))' % GOOD  # noqa: UP031
CALLS = "\nfor _ in range(options.warmup + options.calls): call()\n"
EFFORT = clients.Effort(rounds=2, small={"made-up": (3, 3)}, large=1)


def made_up(folder: Path, text: str) -> Manifest:
    path = folder / "program.py"
    path.write_text(HONEST + text, encoding="utf-8")
    return Manifest(
        "bench-made-up", "Made up", folder, folder, None, (), ("{python}", str(path)), ("*",), toolchains=()
    )


def test_a_program_is_run_and_seen(tmp_path: Path, service: clients.Service) -> None:
    program = made_up(tmp_path, CALLS + LINE)
    run = clients.run_program(program, "bare", clients.SMALL, EFFORT, service, None)
    assert run.sample == sample(calls=3)
    assert run.request_bytes > 50
    assert run.service_share >= 0


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (CALLS + "sys.exit('no\\nmemory')", "bare, one caller: exit status 1: no memory"),
        ("sys.exit(3)", "exit status 3: nothing on standard error"),
        (LINE, "the service saw 0 requests, not 6"),
        (CALLS + "call()\n" + LINE, "the service saw 7 requests, not 6"),
        (CALLS + "print('hello')", "no JSON: hello"),
    ],
)
def test_a_program_that_fails_or_cheats_is_one_line(
    tmp_path: Path, service: clients.Service, text: str, why: str
) -> None:
    with pytest.raises(clients.CannotMeasure, match=why) as caught:
        clients.run_program(made_up(tmp_path, text), "bare", clients.SMALL, EFFORT, service, None)
    assert "\n" not in str(caught.value)
    assert clients.KEY not in str(caught.value)


def test_a_program_that_hangs_is_ended(
    tmp_path: Path, service: clients.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "LONGEST_RUN", 0.5)
    with pytest.raises(clients.CannotMeasure, match=r"not done after 0\.5 s"):
        clients.run_program(
            made_up(tmp_path, "sys.stdin.read() if False else __import__('threading').Event().wait()"),
            "bare",
            clients.SMALL,
            EFFORT,
            service,
            None,
        )


def test_every_round_runs_both_modes_in_turn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log"
    program = made_up(
        tmp_path, f"print(options.mode, options.concurrency, file=open({str(log)!r}, 'a'))" + CALLS + LINE
    )
    found = [clients.Findings(program)]
    clients.measure(found, EFFORT, clients.Cores(None, None))
    modes = ["bare", "client", "client", "bare"]
    assert log.read_text().splitlines() == [f"{mode} {n}" for n in (1, 64, 1) for mode in modes]
    assert clients.tell(found)
    lines = [line for line in capsys.readouterr().out.splitlines() if "note:" not in line]
    assert len(lines) == 5
    assert all(line.endswith(" met") for line in lines[1:])
    results = tmp_path / "deep" / "results.json"
    clients.write(results, found, EFFORT, clients.Cores(None, None))
    written = json.loads(results.read_text())["clients"]["made-up"]
    assert [r["goal"] for r in written["results"]] == ["cpu", "p50", "throughput", "memory"]
    assert written["problem"] is None


def test_one_program_that_fails_does_not_end_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad").mkdir()
    found = [
        clients.Findings(made_up(tmp_path / "bad", "sys.exit('broken')")),
        clients.Findings(made_up(tmp_path, CALLS + LINE)),
    ]
    clients.measure(found, EFFORT, clients.Cores(None, None))
    assert not clients.tell(found)
    lines = [line for line in capsys.readouterr().out.splitlines() if "note:" not in line]
    assert lines[1] == "Made up NOT MEASURED: bare, one caller: exit status 1: broken"
    assert len(lines) == 6
    clients.write(tmp_path / "results.json", found, EFFORT, clients.Cores(None, None))


def run_of(share: float, size: float, core: float = 1.0) -> clients.Run:
    return clients.Run(sample(cpu_seconds=2.0 * core), size, share)


def test_doubtful_results_carry_a_note(tmp_path: Path) -> None:
    findings = clients.Findings(made_up(tmp_path, ""))
    for load in clients.LOADS:
        findings.runs[load.name] = [(run_of(0.5, 1000), run_of(0.9, 1100))]
    assert clients.notes(findings) == []
    findings.runs["64 callers"] = [(run_of(0.5, 1000), run_of(0.95, 1000))]
    findings.runs["20 MB"] = [(run_of(0.5, 1000, core=0.5), run_of(0.5, 700))]
    busy, other_work = clients.notes(findings)
    assert "64 callers: the service used 95% of its core" in busy
    assert "20 MB" in other_work
    assert "not the same work" in other_work
    findings.runs["64 callers"] = [(run_of(0.5, 1000), run_of(0.5, 1000, core=0.6))]
    assert "in one run the program got 60% of its core" in clients.notes(findings)[0]


@pytest.mark.parametrize(("client_us", "good"), [(100.0, True), (200.0, False)])
def test_one_goal_that_is_missed_is_enough(tmp_path: Path, client_us: float, good: bool) -> None:
    findings = clients.Findings(made_up(tmp_path, ""))
    for load in clients.LOADS:
        findings.runs[load.name] = [(run_of(0.5, 1000), run_of(0.5, 1000))]
    slow = clients.Run(sample(p50_us=client_us, p99_us=300), 1000, 0.5)
    bare = clients.Run(sample(p50_us=100), 1000, 0.5)
    findings.runs[clients.SMALL.name] = [(bare, slow)]
    assert clients.tell([findings]) is good


# --- Where it runs ---


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_pinning_lasts_as_long_as_its_block() -> None:
    before = os.sched_getaffinity(0)
    core = max(before)
    with clients.pinned(core):
        assert os.sched_getaffinity(0) == {core}
    assert os.sched_getaffinity(0) == before


def test_cores_that_cannot_be_pinned_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    assert "not pinned" in str(clients.Cores.choose())


def test_proxies_and_certificates_of_the_machine_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "https_proxy", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, "x")
        assert name not in clients.environment()
    assert clients.environment()["SCORING_KEY"] == clients.KEY


def test_every_client_has_a_program_that_is_there() -> None:
    found = clients.programs([])
    assert {clients.language(program) for program in found} == set(reference_clients())
    for effort in (clients.QUICK, clients.FULL):
        assert set(effort.small) == set(reference_clients())
    for program in found:
        assert program.client == reference_clients()[clients.language(program)].client
        assert all(list(program.root.glob(pattern)) for pattern in program.sources)


# --- The command ---


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["cobol"], 2, "bench: no such language: cobol"),
        (["--rounds", "0"], 2, "--rounds must be at least 1"),
        (["--fast"], 2, "unrecognized arguments: --fast"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code: object = clients.main(arguments)
    except SystemExit as stopped:
        code = stopped.code
    assert code == status
    complaint = capsys.readouterr().err
    assert said in complaint
    assert complaint.count("\n") == 1


@pytest.mark.parametrize(("arguments", "status"), [([], 0), (["--check"], 1)])
def test_check_is_what_makes_it_a_test(
    arguments: list[str], status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = made_up(tmp_path, "sys.exit('broken')")
    monkeypatch.setattr(clients, "programs", lambda _: [broken])
    monkeypatch.setattr(clients, "QUICK", EFFORT)
    monkeypatch.setattr(clients, "RESULTS", tmp_path / "results.json")
    assert clients.main(arguments) == status
