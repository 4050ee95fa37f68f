"""pytest as a front end: selection, exit statuses, JUnit."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest
from scoring_conformance.paths import repository


def matrix(*arguments, env=None):
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "conformance/matrix", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=repository(),
        env={**os.environ, "MOCK": "", "REQUIRE": "", "SEED": "", **(env or {})},
        check=False,
    )


def test_a_selection_runs_that_and_no_more(tmp_path):
    junit = tmp_path / "junit.xml"
    ran = matrix("-k", "python and auth and (primary or off)", "--results", str(tmp_path), "--junitxml", str(junit))
    assert ran.returncode == 0, ran.stdout
    names = {case.get("name") for case in ET.parse(junit).iter("testcase")}
    assert names == {"test_conforms[python-auth/key/primary]", "test_conforms[python-auth/off]"}


@pytest.fixture
def no_go(tmp_path):
    """A PATH on which there is no Go."""
    programs = tmp_path / "programs"
    programs.mkdir()
    return {"PATH": str(programs)}


def test_a_client_that_cannot_run_is_skipped_with_its_reason(tmp_path, no_go):
    ran = matrix("-k", "go and auth/off", "--results", str(tmp_path), env=no_go)
    assert "1 skipped" in ran.stdout
    assert "passed" not in ran.stdout
    assert "`go` is not on PATH; get it from https://go.dev/dl/" in ran.stdout


def test_a_required_client_that_cannot_run_is_a_failure_also_in_junit(tmp_path, no_go):
    junit = tmp_path / "junit.xml"
    ran = matrix(
        "-k", "go and auth/off", "--require", "go", "--results", str(tmp_path), "--junitxml", str(junit), env=no_go
    )
    assert ran.returncode == 1
    (failure,) = list(ET.parse(junit).iter("failure"))
    assert "go is required: not run" in failure.get("message")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--mock", "embeded"], 2, "MOCK='embeded': expected embedded, container, or the URL"),
        (["--require", "rust"], 2, "unknown client in REQUIRE 'rust'"),
        (["--results", "/dev/null/x"], 2, "results cannot be written there"),
        (["-k", "no-such-case"], 5, "deselected"),
    ],
)
def test_bad_input(tmp_path, arguments, status, said):
    keyword = [] if "-k" in arguments else ["-k", "python and auth/off"]
    where = [] if "--results" in arguments else ["--results", str(tmp_path)]
    ran = matrix(*keyword, *where, *arguments)
    assert said in ran.stdout + ran.stderr
    assert ran.returncode == status
    assert "Traceback" not in ran.stdout + ran.stderr
