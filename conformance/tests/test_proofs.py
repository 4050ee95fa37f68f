"""Every wrong client turns red what it must and nothing else: the checks can fail, and for the right reason."""

from __future__ import annotations

import asyncio

import pytest
from scoring_conformance.cases.loader import load_cases
from scoring_conformance.clients.manifest import reference_clients
from scoring_conformance.engine.available import make_available
from scoring_conformance.engine.results import Results
from scoring_conformance.engine.run import Run
from scoring_conformance.mutants import Mutant, disagreements, load_mutants
from scoring_conformance.problems import UsageProblem

CASES = load_cases()
MUTANTS = load_mutants()


def document(mock, manifest, folder):
    (client,) = make_available([manifest])
    if client.not_run is not None:
        pytest.skip(f"not run: {client.not_run}")  # where it is required, `make test` fails elsewhere
    results = Results(folder, "proof", {"kind": mock.kind, "server_id": mock.server_id})
    run = Run(CASES, [client], mock, "proof", on_verdict=results.add)
    asyncio.run(run.execute())
    written = results.write(run, complete=True)
    results.close()
    return written


@pytest.mark.parametrize("mutant", MUTANTS, ids=[m.name for m in MUTANTS])
def test_a_wrong_client_is_red_exactly_where_it_must_be(mutant: Mutant, mock, tmp_path):
    assert disagreements(mutant, CASES, document(mock, mutant.manifest, tmp_path)) == []


def test_there_is_a_null_client_a_constant_one_and_one_mutant_of_each_reference_client():
    names = {m.name for m in MUTANTS}
    assert {"null", "constant"} <= names
    assert {f"{name}-wrong-scheme" for name in reference_clients()} <= names
    for mutant in MUTANTS:
        if mutant.name.startswith("null"):
            assert mutant.green == ()


def verdict(case, name, *findings):
    found = [{"check": f"{case}#{place}", "expected": 1, "actual": 2} for place in findings]
    return {"client": "m", "case": case, "verdict": name, "findings": found, "reason": "why"}


def mutant(**expect):
    return Mutant("m", "x", None, expect.get("red"), expect.get("green"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("expect", "verdicts", "said"),
    [
        ({"red": ("a/b#/x",)}, [verdict("a/b", "fail", "/x"), verdict("a/c", "pass")], []),
        (
            {"red": ("a/b#/x",)},
            [verdict("a/b", "pass"), verdict("a/c", "pass")],
            ["declared red, and nothing is: a/b#/x"],
        ),
        (
            {"red": ("a/b#/x",)},
            [verdict("a/b", "fail", "/x", "/y"), verdict("a/c", "pass")],
            ["turns red, undeclared: a/b#/y"],
        ),
        ({"red": ("a/b#/x",)}, [verdict("a/b", "fail", "/x"), verdict("a/c", "error")], ["void: error in a/c: why"]),
        ({"red": ("a/b#/x",)}, [verdict("a/b", "fail", "/x")], ["void: 1 verdicts for 2 cases"]),
        ({"green": ()}, [verdict("a/b", "pass"), verdict("a/c", "error")], ["passes a/b, which it must not"]),
        ({"green": ("a/b",)}, [verdict("a/b", "fail", "/x"), verdict("a/c", "fail", "/x")], ["does not pass a/b"]),
    ],
)
def test_the_comparison_with_what_is_declared_can_fail(expect, verdicts, said):
    assert disagreements(mutant(**expect), [None, None], {"verdicts": verdicts, "complete": True}) == said


def test_a_patch_must_apply_exactly_once(tmp_path):
    folder = tmp_path / "broken"
    folder.mkdir()
    name, client = next(iter(reference_clients().items()))
    (folder / "mutant.toml").write_text(
        f'defect = "x"\nbase = "{name}"\n[[patch]]\nfile = "{client.client}"\nfind = "no such text"\nreplace = ""\n'
        '[expect]\nred = ["*"]\n'
    )
    with pytest.raises(UsageProblem, match="stands 0 times in"):
        load_mutants(tmp_path)
