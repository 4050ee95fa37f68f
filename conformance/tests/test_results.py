"""What is written, and what the exit status makes of it."""

from __future__ import annotations

import json

import pytest
from scoring_conformance import schemas
from scoring_conformance.engine.results import Results, exit_status, same
from scoring_conformance.engine.verdicts import Check, Verdict
from scoring_conformance.problems import UsageProblem

MOCK = {"kind": "embedded", "server_id": "1"}
PASS = Verdict("go", "a/b", "pass", "must", "", [Check("/x", True)], 0.1)
FAIL = Verdict("go", "a/c", "fail", "must", "", [Check("/x", False, "1", "2")], 0.1)
ERROR = Verdict("go", "a/d", "error", "must", "it hung")
LACKS = Verdict("python", "a/f", "unsupported", "must", "the client lacks cancel")
DECLARED = Verdict("python", "a/f", "unsupported", "must", "the client lacks cancel: why", declared=True)
NOT_RUN = Verdict("java", "a/b", "not run", "must", "JDK 17 is needed")
WARN = Verdict("go", "a/e", "warn", "should", "", [Check("/x", False, "1", "2")], 0.1)


def document(tmp_path, *verdicts, complete=True):
    results = Results(tmp_path, "seed", MOCK)
    for verdict in verdicts:
        results.add(verdict)
    written = results.write(None, complete=complete)
    results.close()
    return written


def test_verdicts_are_on_disk_as_they_fall(tmp_path):
    results = Results(tmp_path, "seed", MOCK)
    results.add(PASS)
    (line,) = (tmp_path / "results.jsonl").read_text().splitlines()
    assert json.loads(line)["case"] == "a/b"
    results.close()


def test_the_document_matches_its_schema_and_the_file(tmp_path):
    written = document(tmp_path, PASS, FAIL, ERROR, NOT_RUN, WARN)
    assert schemas.first_error("results", written) is None
    assert json.loads((tmp_path / "results.json").read_text()) == written
    assert written["summary"] == {"error": 1, "fail": 1, "not run": 1, "pass": 1, "warn": 1}
    assert [f["check"] for f in written["verdicts"][1]["findings"]] == ["a/c#/x"]


def test_a_pass_without_checks_does_not_match_the_schema(tmp_path):
    with pytest.raises(AssertionError, match="do not match their schema"):
        document(tmp_path, Verdict("go", "a/b", "pass", "must"))


def test_a_later_verdict_replaces_the_earlier(tmp_path):
    late = Verdict("go", "a/b", "error", "must", "a second reply to one request")
    assert document(tmp_path, PASS, late)["summary"] == {"error": 1}


@pytest.mark.parametrize(
    ("verdicts", "required", "complete", "status"),
    [
        ([PASS], set(), True, 0),
        ([PASS, WARN], set(), True, 0),
        ([PASS, NOT_RUN], set(), True, 0),
        ([PASS, NOT_RUN], {"java"}, True, 1),
        ([PASS, NOT_RUN], {"go"}, True, 0),
        ([PASS, LACKS], {"python"}, True, 1),
        ([PASS, LACKS], {"go"}, True, 0),
        ([PASS, DECLARED], {"python"}, True, 0),
        ([PASS, FAIL], set(), True, 1),
        ([PASS, ERROR], set(), True, 1),
        ([NOT_RUN], set(), True, 3),
        ([], set(), True, 3),
        ([PASS], set(), False, 3),
    ],
)
def test_the_exit_status(tmp_path, verdicts, required, complete, status):
    assert exit_status(document(tmp_path, *verdicts, complete=complete), frozenset(required)) == status


def test_times_and_ids_may_differ_and_nothing_else(tmp_path):
    left = document(tmp_path, PASS, FAIL)
    right = json.loads(json.dumps(left))
    right["run"]["mock"]["server_id"] = "2"
    right["verdicts"][0]["seconds"] = 9.0
    assert same(left, right) == []
    right["verdicts"][0]["checks"] += 1
    assert len(same(left, right)) == 1
    del right["verdicts"][1]
    right["summary"] = {"pass": 1}
    assert len(same(left, right)) == 3


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageProblem, match="results cannot be written there"):
        Results(tmp_path / "file", "seed", MOCK)
