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
_BATCH = 4


@pytest.fixture(scope="module")
def documents(mock, tmp_path_factory):
    """The results of a mutant. As many are run at once as there are reference clients in a matrix."""
    found = {}

    def of(mutant: Mutant):
        if mutant.name not in found:
            first = MUTANTS.index(mutant)
            batch = [m for m in MUTANTS[first : first + _BATCH] if m.name not in found]
            written = document(mock, [m.manifest for m in batch], tmp_path_factory.mktemp("proof"))
            found.update({m.name: written for m in batch})
        return found[mutant.name]

    return of


def document(mock, manifests, folder):
    clients = make_available(manifests)
    results = Results(folder, "proof", {"kind": mock.kind, "server_id": mock.server_id})
    run = Run(CASES, clients, mock, "proof", on_verdict=results.add)
    asyncio.run(run.execute())
    written = results.write(run, complete=True)
    results.close()
    return written


@pytest.mark.parametrize("mutant", MUTANTS, ids=[m.name for m in MUTANTS])
def test_a_wrong_client_is_red_exactly_where_it_must_be(mutant: Mutant, documents):
    written = documents(mutant)
    lacking = written["clients"][mutant.name].get("not_run")
    if lacking is not None:
        pytest.skip(f"not run: {lacking}")  # where it is required, `make test` fails elsewhere
    assert disagreements(mutant, CASES, written) == []


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
