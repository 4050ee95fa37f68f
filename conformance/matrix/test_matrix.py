"""One test for each client and case; the engine judges, pytest reports."""

from __future__ import annotations

import pytest
from scoring_conformance.engine.verdicts import Verdict


def test_conforms(verdict: Verdict, conformance_engine, client_name: str, case_id: str) -> None:
    if verdict.verdict in ("not run", "unsupported", "warn"):
        if client_name in conformance_engine.required and verdict.verdict != "warn" and not verdict.declared:
            pytest.fail(f"{client_name} is required: {verdict.verdict}: {verdict.reason}", pytrace=False)
        pytest.skip(f"{verdict.verdict}: {verdict.reason or verdict.findings[0].place}")
    if verdict.verdict != "pass":
        lines = [f"{verdict.verdict} in {case_id}; see: conformance explain {case_id}"]
        lines += [f"  {c.place}: expected {c.expected!r}, actual {c.actual!r}" for c in verdict.findings]
        pytest.fail("\n".join(lines + ([verdict.reason] if verdict.reason else [])), pytrace=False)
    assert verdict.checks, "a pass rests on checks"
    assert not verdict.findings
