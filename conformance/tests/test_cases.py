"""Case files: what is accepted, and what a mistake is answered with."""

from __future__ import annotations

from pathlib import Path

import pytest
from scoring_conformance.cases import article
from scoring_conformance.cases.clauses import clauses
from scoring_conformance.cases.loader import load_cases
from scoring_conformance.problems import UsageProblem

GOOD = """\
- id: group/name
  title: A title
  why: A reason.
  clause: [B10]
  severity: must
  service: {profile: aks-v1, auth: off}
  call: {op: score, rows: random}
  expect:
    requests:
      - method: POST
        path: "{service.scoring_path}"
    result: {predictions: model}
"""


def load(folder: Path, text: str) -> list:
    (folder / "some.yaml").write_text(text, encoding="utf-8")
    return load_cases(folder)


def test_a_good_case_is_read(tmp_path):
    (case,) = load(tmp_path, GOOD)
    assert (case.id, case.severity, case.negative, case.waits, case.line) == ("group/name", "must", False, False, 1)
    assert case.service == {"profile": "aks-v1", "auth": "off"}  # and not False, which YAML 1.1 would make of it


def test_parameters_make_one_case_each_and_keep_their_types(tmp_path):
    text = GOOD.replace("  service:", "  parameters:\n    - {id: a, n: 2}\n    - {id: b, n: 5}\n  service:")
    cases = load(tmp_path, text.replace("rows: random", 'rows: {random: "{param.n}"}').replace("[B10]", "[B10, A23]"))
    assert [(c.id, c.call["rows"]) for c in cases] == [("group/name/a", {"random": 2}), ("group/name/b", {"random": 5})]


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("  title: A title\n", "", 1, "'title' is a required property"),
        ("severity: must", "severity: perhaps", 5, "'perhaps' is not one of ['must', 'should']"),
        ("[B10]", "[B10, B99]", 4, "unknown clause 'B99'"),
        ("[B10]", "[b10]", 4, "or B10?"),
        ("auth: off", "auth: on", 6, "'on' is not one of"),
        ("rows: random", "rows: many", 7, "many"),
        ("  call:", "  colour: red\n  call:", 1, "'colour' was unexpected"),
        ("method: POST", "methode: POST", 10, "'method' is a required property"),
        ("result: {predictions: model}", "result: {predictions: mode}", 12, "'mode'"),
        ("    result: {predictions: model}\n", "", 9, "'result' is a required property"),
        ("  title: A title\n", "  title: A title\n  title: B\n", 3, "'title' stands twice"),
        ("  why: A reason.\n", "  why: {\n", 5, "not YAML"),
        ("  service: {profile: aks-v1, auth: off}\n", "", 1, "a case has a service, or calls `uri: refused`"),
        ("rows: random", "rows: random, key: primary", 1, "auth off has no primary key"),
        ('path: "{service.scoring_path}"', 'path: "{param.x}"', 1, "{param.x} has no value"),
        ("predictions: model", "predictions: drawn", 1, "{drawn.predictions}"),
        ("auth: off", "auth: off, replies: [{body: {json: [1]}}]", 1, "without scripted replies"),
        ('path: "{service.scoring_path}"', "path: /x\n        body: {schema: no-such}", 1, "no such schema"),
    ],
)
def test_a_mistake_is_reported_with_its_file_and_line(tmp_path, old, new, line, said):
    assert old in GOOD
    with pytest.raises(UsageProblem) as problem:
        load(tmp_path, GOOD.replace(old, new))
    text = str(problem.value)
    assert text.startswith(f"{tmp_path}/some.yaml:{line}: "), text
    assert said in text
    assert "\n" not in text


def test_an_id_that_stands_twice_is_refused(tmp_path):
    (tmp_path / "other.yaml").write_text(GOOD, encoding="utf-8")
    with pytest.raises(UsageProblem, match=r"some.yaml:1: the case id 'group/name' stands in .*other.yaml:1"):
        load(tmp_path, GOOD)


def test_an_unused_parameter_is_refused(tmp_path):
    text = GOOD.replace("  service:", "  parameters: [{id: a, n: 2}]\n  service:")
    with pytest.raises(UsageProblem, match="parameter 'n' of 'a' is not used"):
        load(tmp_path, text)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(UsageProblem, match="no case file"):
        load_cases(tmp_path)


def test_the_suites_own_cases_are_good_and_many():
    cases = load_cases()
    assert len(cases) >= 20
    assert {c.severity for c in cases} == {"must", "should"}
    assert any(c.negative for c in cases)


def test_every_kind_of_clause_exists():
    kinds = {name[0] for name in clauses()}
    assert kinds == {"A", "B", "C", "W"}
    assert "B02/timeout" in clauses()


def test_the_article_s_own_example():
    assert article.predict(article.ROWS) == [217.67978776218715, 224.78937091757172]
    assert article.predict([[10, 9, 8, 7, 6, 5, 4, 3, 2, 1]]) == [3726.9954859385753]
