"""The command as a user meets it: bad input is one line and exit status 2."""

from __future__ import annotations

import argparse
import importlib
import io
import json
import os
import signal
import subprocess
import sys

import pytest
from rich.console import Console
from scoring_conformance import mutants, schemas
from scoring_conformance.cases.loader import load_cases
from scoring_conformance.command.terminal import Terminal
from scoring_conformance.paths import repository

GOOD_ADAPTER = """\
import json, sys
for line in sys.stdin:
    r = json.loads(line)
    if r["op"] == "hello":
        ok = {"protocol": 1, "level": 1, "capabilities": [], "max_in_flight": 4}
        ok["client"] = {"name": "x", "language": "x", "language_version": "x", "http_library": "x"}
        print(json.dumps({"id": r["id"], "ok": ok}), flush=True)
    elif r["op"] != "score":
        print(json.dumps({"id": r["id"], "unsupported": r["op"]}), flush=True)
"""


def conformance(*arguments, env=None, timeout=120):
    return subprocess.run(
        [sys.executable, "-m", "scoring_conformance", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=repository(),
        env={**os.environ, "MOCK": "", "REQUIRE": "", "SEED": "", **(env or {})},
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--client", "pyton"], "unknown client 'pyton': did you mean python?"),
        (["run", "--case", "auth/key/primry"], "unknown case 'auth/key/primry': did you mean auth/key/primary"),
        (["run", "--case", "nothing*"], "no case matches 'nothing*'"),
        (["run", "--mock", "embeded"], "MOCK='embeded': expected embedded, container, or the URL"),
        (["run", "--mock", "http://127.0.0.1:9"], "no mock's admin plane answers there"),
        (["run", "--require", "rust"], "unknown client in REQUIRE 'rust'"),
        (["run", "--deadline", "soon"], "'soon' is no number of seconds above 0"),
        (["run", "--adapter", "/no/such"], "/no/such: cannot be read"),
        (["run", "--colour"], "unrecognized arguments: --colour"),
        (["run", "--results", "/dev/null/x"], "results cannot be written there"),
        (["explain", "auth/nothing"], "unknown case 'auth/nothing'"),
        (["compare", "a.json", "b.json"], "a.json: no results there"),
        (["dance"], "invalid choice: 'dance'"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_bad_input_is_one_clear_line(arguments, said, tmp_path):
    extra = (
        ["--adapter", str(adapter(tmp_path, GOOD_ADAPTER))]
        if arguments[:1] == ["run"] and "--client" not in arguments
        else []
    )
    ran = conformance(*arguments, *extra)
    assert ran.returncode == 2, ran.stderr
    assert said in ran.stderr
    assert ran.stderr.startswith("conformance: ")
    assert ran.stderr.count("\n") == 1


def test_no_docker_engine_is_one_clear_line(tmp_path):
    ran = conformance(
        "run",
        "--mock",
        "container",
        "--adapter",
        str(adapter(tmp_path, GOOD_ADAPTER)),
        env={"DOCKER_HOST": "unix:///no/such.sock"},
    )
    assert ran.returncode == 2
    assert "no Docker engine answers" in ran.stderr
    assert ran.stderr.count("\n") == 1


def adapter(folder, text, more=""):
    (folder / "adapter.py").write_text(text, encoding="utf-8")
    (folder / "client.toml").write_text(
        'name = "foreign"\nlanguage = "Python"\nrun = ["{python}", "adapter.py"]\n' + more, encoding="utf-8"
    )
    return folder


def results(folder):
    document = json.loads((folder / "results.json").read_text())
    assert schemas.first_error("results", document) is None
    return document


def test_a_missing_toolchain_is_not_run_and_never_green(tmp_path):
    more = '[[toolchain]]\nname = "Thing"\ncommand = ["no-such"]\nversion = "(1)"\nminimum = "1"\nget = "https://example.org"\n'
    folder = str(adapter(tmp_path, GOOD_ADAPTER, more))
    ran = conformance("run", "--adapter", folder, "--case", "auth/off", "--results", str(tmp_path))
    assert ran.returncode == 3
    assert "Thing 1 or later is needed, and `no-such` is not on PATH; get it from https://example.org" in ran.stdout
    assert results(tmp_path)["summary"] == {"not run": 1}


def test_an_adapter_that_dies_is_an_error_with_its_standard_error(tmp_path):
    folder = str(adapter(tmp_path, "import sys; sys.exit('no such library')"))
    ran = conformance("run", "--adapter", folder, "--case", "auth/off", "--results", str(tmp_path))
    assert ran.returncode == 1
    assert "no such library" in ran.stdout
    assert results(tmp_path)["summary"] == {"error": 1}


def test_an_adapter_that_does_not_build_is_an_error(tmp_path):
    more = 'build = [["/bin/sh", "-c", "echo no compiler; exit 9"]]\nsources = ["adapter.py"]\n'
    folder = str(adapter(tmp_path, GOOD_ADAPTER, more))
    ran = conformance("run", "--adapter", folder, "--case", "auth/off", "--results", str(tmp_path))
    assert ran.returncode == 1
    assert "no compiler" in ran.stdout
    assert results(tmp_path)["summary"] == {"error": 1}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_valid_results_and_no_process(tmp_path, number):
    # One case is answered (with an error that is no pass); the other hangs until the run is interrupted.
    waits = GOOD_ADAPTER + (
        "    elif len(r['rows']) == 1:\n"
        "        print(json.dumps({'id': r['id'], 'ok': {'predictions': []}}), flush=True)\n"
        "    elif len(r['rows']) == 3:\n"  # the positive control
        "        print(json.dumps({'id': r['id'], 'ok': {'predictions': []}}), flush=True)\n"
    )
    folder = str(adapter(tmp_path, waits))
    cases = ["--case", "predictions/rows/one", "--case", "predictions/rows/forty"]
    command = [sys.executable, "-m", "scoring_conformance", "run", "--adapter", folder, *cases]
    process = subprocess.Popen(
        [*command, "--results", str(tmp_path), "--deadline", "600"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=repository(),
        env={**os.environ, "MOCK": "", "REQUIRE": ""},
    )
    lines = tmp_path / "results.jsonl"
    while not (
        lines.exists() and lines.read_text()
    ):  # the first verdict is on disk; the test's own time limit bounds this
        assert process.poll() is None
        os.sched_yield()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else 143), err
    assert "cut short" in out
    document = results(tmp_path)
    assert document["complete"] is False
    assert [v["case"] for v in document["verdicts"]] == ["predictions/rows/one"]
    assert "Traceback" not in err
    left = subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, text=True, check=False).stdout
    assert left == ""


def test_list_and_explain():
    listed = conformance("list")
    assert listed.returncode == 0
    assert "auth/key/primary\tmust\t" in listed.stdout
    explained = conformance("explain", "auth/key/primary")
    assert explained.returncode == 0
    for word in ("Why:", "W22", "scoring_path", "conformance/cases/auth.yaml"):
        assert word in explained.stdout
    assert conformance("list", "clients").stdout.count("\n") == 4


def test_explain_shows_the_client_the_steps_and_what_they_need():
    explained = conformance("explain", "tokens/one-fetch")
    assert explained.returncode == 0
    for word in ("Needs: level 2, token_provider", "\nClient:", "token: issued", "\nSteps:", "calls: ", "asks: "):
        assert word in explained.stdout


def test_the_matrix_of_a_run_that_was_cut_short():
    console = Console(width=120, file=io.StringIO())
    plain = {"severity": "must", "findings": [], "seconds": 0.1}
    document = {
        "complete": False,
        "summary": {"pass": 3},
        "seed": "s",
        "clients": {},
        "run": {"seconds": 1.0, "mock": {"kind": "embedded"}},
        "verdicts": [
            {"client": client, "case": case, "verdict": "pass", **plain}
            for client, case in (("go", "a/b/1"), ("go", "a/b/2"), ("java", "a/b/1"))
        ],
    }
    Terminal(console).report(document, {"a/b/1": "a/b", "a/b/2": "a/b"}, every_case=False, folder="build")
    rows = [line.split() for line in console.file.getvalue().splitlines()]
    assert ["a/b/2", "pass", "-"] in rows
    assert "cut short" in console.file.getvalue()


def test_a_wrong_client_is_run_and_compared_with_what_it_declares():
    ran = conformance("mutants", "null")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "null: as declared\n"
    unknown = conformance("mutants", "nul")
    assert unknown.returncode == 2
    assert "null" in unknown.stderr
    assert unknown.stderr.count("\n") == 1


def test_all_wrong_clients_together_must_turn_everything_red(monkeypatch, capsys):
    only_null = mutants.load_mutants(names=["null"])
    module = importlib.import_module("scoring_conformance.command.main")
    monkeypatch.setattr(module, "load_mutants", lambda names: only_null)
    case = next(case for case in load_cases() if case.id == "payload/one-request")
    monkeypatch.setattr(module, "load_cases", lambda: [case])
    assert module._mutants(argparse.Namespace(mutant=[])) == 1  # the null client counts for nothing
    assert capsys.readouterr().out.splitlines() == [
        "null: as declared",
        "no wrong client turns it red: payload/one-request",
    ]
