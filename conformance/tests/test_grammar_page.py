"""The page for people who write cases: each of its examples is a case that loads."""

from __future__ import annotations

import json
import re

from scoring_conformance.cases.loader import load_cases
from scoring_conformance.paths import repository

PAGE = (repository() / "conformance" / "CASE-GRAMMAR.md").read_text(encoding="utf-8")
WHOLE, SERVICE, ANSWERS, STEPS, REQUEST = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
HEAD = "- id: page/example\n  title: t\n  why: w\n  clause: [B10]\n  severity: must\n"
OFF = "  service: {profile: aks-v1, auth: off}\n"
TOKEN = "  service: {profile: aks-v1, auth: token}\n"
EXPECT = '  expect: {requests: {count: {at_least: 1}, each: {method: POST, path: "{service.scoring_path}"}}'


def load(tmp_path, text):
    (tmp_path / "page.yaml").write_text(text, encoding="utf-8")
    (case,) = load_cases(tmp_path)
    return case


def test_a_whole_case(tmp_path):
    assert load(tmp_path, WHOLE).level == 1


def test_a_service(tmp_path):
    call = "  call: {op: score, rows: random}\n"
    case = load(tmp_path, HEAD + SERVICE + call + EXPECT + ", result: {predictions: drawn}}\n")
    assert case.service["connections"] == ["reset", None]


def test_answers_of_a_provider(tmp_path):
    steps = "  steps:\n    - call: {op: health}\n      meanwhile: [{release: true}]\n"
    steps += "      expect: {result: {healthy: true}}\n"
    case = load(tmp_path, HEAD + TOKEN + "  client:\n" + ANSWERS + steps + EXPECT + "}\n")
    assert len(case.client["token_provider"]) == 9


def test_steps(tmp_path):
    steps = STEPS.replace("[{token: issued}, {token: issued}]", "[{token: issued}, {token: issued, after: release}]")
    case = load(tmp_path, HEAD + TOKEN + steps + EXPECT + "}\n")
    assert case.needs == {"token_provider", "on_retry", "cancel"}


def test_a_request(tmp_path):
    call = "  steps:\n" + "    - {call: {op: score, rows: random}, expect: {result: {predictions: model}}}\n" * 2
    case = load(tmp_path, HEAD + OFF + call + "  expect:\n    requests:\n" + REQUEST)
    assert case.expect["requests"][0]["of"] == 2


def test_every_member_of_the_schema_is_on_the_page():
    text = (repository() / "conformance" / "schemas" / "case-file.json").read_text(encoding="utf-8")
    definitions = json.loads(text)["$defs"]
    protocol = (repository() / "conformance" / "PROTOCOL.md").read_text(encoding="utf-8")
    for part in ("client", "result", "error", "request", "retry", "answer"):
        members = set(_members(definitions[part]))
        assert members
        for name in members:
            assert name in PAGE or f"`{name}`" in protocol, (part, name)


def _members(node):
    if isinstance(node, dict):
        yield from node.get("properties", {})
        for value in node.values():
            yield from _members(value)
    elif isinstance(node, list):
        for value in node:
            yield from _members(value)
