"""What counts as a kill, and how it is shown."""

from __future__ import annotations

import json

import pytest
from scoring_conformance.cases.loader import load_cases
from scoring_conformance.engine.verdicts import Check, Verdict
from scoring_conformance.kills import Kills, in_batches, kind_of, page, unproven_cases
from scoring_conformance.mutants import Declaration

CASES = [case for case in load_cases() if case.template in ("payload/not-finite", "payload/one-request")]
ONE, (NAN, *_) = "payload/one-request", [case.id for case in CASES if case.template == "payload/not-finite"]


def verdict(case: str, **checks: bool) -> Verdict:
    found = [Check(f"/requests/0/{name}", held) for name, held in checks.items()]
    return Verdict("m", case, "fail", "must", checks=found)


def test_a_red_check_is_a_kill_of_its_case_and_of_its_kind(tmp_path):
    kills = Kills(tmp_path / "build" / "kills.json")
    kills.add(Declaration("m", "x", red=("a#b",)), [verdict(ONE, method=False, path=True), verdict(NAN, path=True)])
    assert kills.alive(CASES) == [case.id for case in CASES if case.id != ONE]
    assert kills.alive_kinds() == ["/requests/*/path"]
    assert json.loads((tmp_path / "build" / "kills.json").read_text()) == {
        "format": 1,
        "clients": ["m"],
        "cases": {ONE: ["m"]},
        "checks": {f"{ONE}#/requests/0/method": ["m"]},
        "kinds": {"/requests/*/method": ["m"], "/requests/*/path": []},
    }


def test_the_file_grows_with_every_client(tmp_path):
    kills = Kills(tmp_path / "kills.json")
    for name in ("b", "a"):
        kills.add(Declaration(name, "x", red=("a#b",)), [verdict(ONE, method=False)])
        assert name in json.loads((tmp_path / "kills.json").read_text())["cases"][ONE]
    assert kills.document()["cases"] == {ONE: ["a", "b"]}


def test_a_program_that_never_was_a_client_kills_nothing(tmp_path):
    kills = Kills(tmp_path / "kills.json")
    kills.add(Declaration("null", "x", green=()), [verdict(ONE, method=False)])
    assert kills.alive(CASES) == [case.id for case in CASES]


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("/requests/12/headers/x-a/equals", "/requests/*/headers/x-a/equals"),
        ("/steps/0/calls/3/result/predictions", "/result/predictions"),
        ("/steps/1/meanwhile/0/when", "/when"),
        ("/result/json_at/info/2/version", "/result/json_at"),
        ("/error/status", "/error/status"),
    ],
)
def test_a_kind_is_a_place_without_what_differs_from_case_to_case(place, kind):
    assert kind_of(place) == kind


def test_a_case_that_nothing_is_declared_to_kill_is_named():
    declared = [Declaration("m", "x", red=("payload/not-finite/*#*",), also=("payload/one-request#*",))]
    assert unproven_cases(declared, CASES) == [f"{ONE}: no mutant is declared to turn it red"]


def test_the_page_shows_clients_and_the_values_that_they_kill():
    declared = [
        Declaration("a", "sends NaN", red=("payload/not-finite/*#*",)),
        Declaration("b", "sends one NaN", red=(f"{NAN}#*",)),
        Declaration("null", "no client", green=()),
    ]
    text = page(declared, CASES)
    assert "| `payload/not-finite` | `a`, `b` (nan) |\n" in text
    assert "| `payload/one-request` |  |\n" in text
    assert "| `b` | sends one NaN | 1 |\n" in text
    assert "null" not in text


def test_batches_lose_nobody():
    assert [len(batch) for batch in in_batches(list(range(10)))] == [4, 4, 2]  # type: ignore[arg-type]
