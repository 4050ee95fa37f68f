"""What is drawn from the seed."""

from __future__ import annotations

from scoring_conformance.cases.loader import load_cases
from scoring_conformance.engine.plan import plan

CASES = load_cases()


def test_one_seed_gives_one_plan_whatever_else_is_selected():
    whole = {(p.client, p.case.id): p for p in plan(CASES, ["a", "b"], "s")}
    (alone,) = plan([CASES[5]], ["b"], "s")
    assert alone == whole["b", CASES[5].id]


def test_seeds_clients_and_cases_draw_apart():
    names = [p.service["name"] for seed in ("s", "t") for p in plan(CASES, ["a", "b"], seed) if p.service]
    assert len(set(names)) == len(names)
    keys = [key for p in plan(CASES, ["a", "b"], "s") for key in p.secrets.values()]
    assert len(set(keys)) == len(keys)


def test_nothing_that_the_client_sees_names_the_case():
    for p in plan(CASES, ["python"], "s"):
        seen = " ".join([p.service["name"] if p.service else "", p.key or ""])
        assert p.case.id not in seen
        assert not any(part in seen for part in p.case.id.split("/") if len(part) > 4)


def test_scripted_replies_carry_drawn_numbers_one_a_row():
    (one,) = [p for p in plan(CASES, ["a"], "s") if p.case.id == "predictions/exact/white-space"]
    assert len(one.drawn) == len(one.rows) == 4
    assert all(repr(number) in one.service["replies"][0]["body"]["text"] for number in one.drawn)
    (other,) = [p for p in plan(CASES, ["a"], "t") if p.case.id == "predictions/exact/white-space"]
    assert other.drawn != one.drawn
