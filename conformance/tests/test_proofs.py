"""Every wrong client turns red what it must and nothing else, and every case is turned red: the checks can fail."""

from __future__ import annotations

import pytest
from scoring_conformance.cases.loader import load_cases
from scoring_conformance.clients.manifest import reference_clients
from scoring_conformance.engine.run import CONTROL_FAILED
from scoring_conformance.kills import Kills, in_batches, run_mutants
from scoring_conformance.mutants import Declaration, Mutant, disagreements, load_mutants
from scoring_conformance.paths import repository
from scoring_conformance.problems import UsageProblem

CASES = load_cases()
MUTANTS = load_mutants()


@pytest.fixture(scope="module")
def kills():
    return Kills(repository() / "build" / "kills.json")


@pytest.fixture(scope="module")
def documents(mock, kills, tmp_path_factory):
    """The results of a mutant, which runs with others of its batch."""
    batches = in_batches(MUTANTS)
    found = {}

    def of(mutant: Mutant):
        if mutant.name not in found:
            batch = next(batch for batch in batches if mutant in batch)
            written = run_mutants(batch, CASES, mock, tmp_path_factory.mktemp("proof"), kills)
            found.update({m.name: written for m in batch})
        return found[mutant.name]

    return of


@pytest.mark.parametrize("mutant", MUTANTS, ids=[m.name for m in MUTANTS])
def test_a_wrong_client_is_red_exactly_where_it_must_be(mutant: Mutant, documents):
    written = documents(mutant)
    lacking = written["clients"][mutant.name].get("not_run")
    if lacking is not None:
        pytest.skip(f"not run: {lacking}")  # where it is required, `make test` fails elsewhere
    assert disagreements(mutant.declared, CASES, written) == []


def test_every_case_and_every_kind_of_check_is_turned_red_by_a_wrong_client(documents, kills):
    written = [documents(mutant) for mutant in MUTANTS]
    absent = {name: reason for w in written for name, c in w["clients"].items() if (reason := c.get("not_run"))}
    if absent:
        pytest.skip(f"not all wrong clients ran: {absent}")
    assert kills.alive(CASES) == []
    assert kills.alive_kinds() == []


def test_there_is_a_null_client_a_constant_one_and_one_mutant_of_each_reference_client():
    names = {m.name for m in MUTANTS}
    assert {"null", "constant"} <= names
    assert {f"{name}-wrong-scheme" for name in reference_clients()} <= names
    for mutant in MUTANTS:
        if mutant.name.startswith("null"):
            assert mutant.declared.green == ()


def verdict(case, name, *findings, reason="why"):
    found = [{"check": f"{case}#{place}", "expected": 1, "actual": 2} for place in findings]
    return {"client": "m", "case": case, "verdict": name, "findings": found, "reason": reason}


BOTH = [case for case in CASES if case.template == "payload/not-finite"][:2]
FIRST, SECOND = (case.id for case in BOTH)


@pytest.mark.parametrize(
    ("expect", "verdicts", "said"),
    [
        ({"red": (f"{FIRST}#/x",)}, [verdict(FIRST, "fail", "/x"), verdict(SECOND, "pass")], []),
        (
            {"red": (f"{FIRST}#/x",)},
            [verdict(FIRST, "pass"), verdict(SECOND, "pass")],
            [f"declared red, and is not: {FIRST} ({FIRST}#/x)"],
        ),
        (
            {"red": ("payload/not-finite/*#/x",)},
            [verdict(FIRST, "fail", "/x"), verdict(SECOND, "pass")],
            [f"declared red, and is not: {SECOND} (payload/not-finite/*#/x)"],
        ),
        (
            {"red": ("no/such#/x",), "also": ("payload/*",)},
            [verdict(FIRST, "fail", "/x"), verdict(SECOND, "pass")],
            ["declared red, and nothing is: no/such#/x"],
        ),
        (
            {"red": (f"{FIRST}#/x",)},
            [verdict(FIRST, "fail", "/x", "/y"), verdict(SECOND, "pass")],
            [f"turns red, undeclared: {FIRST}#/y"],
        ),
        (
            {"red": (f"{FIRST}#/x",), "also": ("*#/y",)},
            [verdict(FIRST, "fail", "/x", "/y"), verdict(SECOND, "fail", "/y")],
            [],
        ),
        (
            {"red": (f"{FIRST}#/x",)},
            [verdict(FIRST, "fail", "/x"), verdict(SECOND, "error")],
            [f"void: error in {SECOND}: why"],
        ),
        (
            {"red": (f"{FIRST}#/x",)},
            [verdict(FIRST, "fail", "/x"), verdict(SECOND, "error", reason=f"{CONTROL_FAILED} (x): y")],
            [],
        ),
        ({"red": (f"{FIRST}#/x",)}, [verdict(FIRST, "fail", "/x")], ["void: 1 verdicts for 2 cases"]),
        (
            {"green": ()},
            [verdict(FIRST, "pass"), verdict(SECOND, "error")],
            [f"passes {FIRST}, which it must not"],
        ),
        (
            {"green": (FIRST,)},
            [verdict(FIRST, "fail", "/x"), verdict(SECOND, "fail", "/x")],
            [f"does not pass {FIRST}"],
        ),
    ],
)
def test_the_comparison_with_what_is_declared_can_fail(expect, verdicts, said):
    declared = Declaration("m", "x", **expect)
    assert disagreements(declared, BOTH, {"verdicts": verdicts, "complete": True}) == said


def test_a_patch_must_apply_exactly_once(tmp_path):
    folder = tmp_path / "broken"
    folder.mkdir()
    name, client = next(iter(reference_clients().items()))
    (folder / "mutant.toml").write_text(
        f'defect = "x"\nbase = "{name}"\n[[patch]]\nfile = "{client.client}"\nfind = "no such text"\nreplace = ""\n'
        '[expect]\nred = ["*#*"]\n'
    )
    with pytest.raises(UsageProblem, match="stands 0 times in"):
        load_mutants(tmp_path)
