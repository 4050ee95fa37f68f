"""FACTS.md is whole, true to the sources, and up to date."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scoring_mock import facts
from scoring_mock.facts import FACTS, NUMBERS, TABLE, Fact, main, places, problems, render

TESTS = Path(__file__).parents[1]


def test_every_fact_is_listed_once_and_named_where_it_is_implemented() -> None:
    assert problems() == []


def test_the_file_is_up_to_date() -> None:
    assert TABLE.read_text(encoding="utf-8") == render(), "run: python -m scoring_mock.facts"
    assert main(["--check"]) == 0


def test_the_file_has_a_row_for_each_fact() -> None:
    rows = re.findall(r"^\| (W\d\d) \|", TABLE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [f"W{number:02d}" for number in NUMBERS]


def test_the_links_of_the_file_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)]+)\)", TABLE.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (TABLE.parent / link).is_file()] == []


def test_every_fact_is_named_in_a_test() -> None:
    tested = set()
    for path in TESTS.rglob("*.py"):
        if path != Path(__file__):
            tested |= set(re.findall(r"\bW\d\d\b", path.read_text(encoding="utf-8")))
    assert [fact.id for fact in FACTS if fact.state != "not applicable" and fact.id not in tested] == []


def test_a_missing_fact_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "FACTS", FACTS[:-1])
    assert problems() == ["W46 is missing", f"W46 is named in {', '.join(places()['W46'])}, and no fact"]
    assert main(["--check"]) == 1


def test_a_fact_that_nobody_implements_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "places", lambda: {name: where for name, where in places().items() if name != "W09"})
    assert problems() == ["W09 is called implemented, and no module names it"]


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        ("not applicable", "W01 is not applicable, and nothing says why"),
        ("simulated, not observed", "W01 is simulated, and nothing says what of it"),
    ],
)
def test_a_state_without_its_reason_is_reported(
    monkeypatch: pytest.MonkeyPatch, state: facts.State, problem: str
) -> None:
    monkeypatch.setattr(facts, "FACTS", (Fact("W01", "text", "all", "measured", state), *FACTS[1:]))
    assert problems() == [problem]


def test_a_stale_file_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = tmp_path / "FACTS.md"
    monkeypatch.setattr(facts, "TABLE", table)
    assert main(["--check"]) == 1
    assert main([]) == 0
    assert main(["--check"]) == 0
    table.write_text(table.read_text(encoding="utf-8").replace("W07", "W70"), encoding="utf-8")
    assert main(["--check"]) == 1
