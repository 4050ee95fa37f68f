"""Whatever JSON an admin sends, it is taken or refused with one sentence: no other exception."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scoring_mock.http_types import SpecError
from scoring_mock.replies import parse_reply
from scoring_mock.service.acts import ACTS, perform
from scoring_mock.service.service import Service
from scoring_mock.service.spec import parse_spec

SPEC: dict[str, Any] = {
    "name": "n",
    "profile": "managed-v2",
    "server_generation": "modern",
    "auth": "key",
    "primary_key": "abc",
    "secondary_key": "d",
    "script": "model",
    "replies": [{"status": 200}, {"form": "overloaded"}, {"result": {"status": 503, "body": {"json": 1}}}],
    "swagger_replies": [],
    "health_replies": [],
    "swagger_cells": "number",
    "cors_origins": ["https://a.example"],
    "scoring_timeout_ms": 5,
    "request_timeout_ms": 5,
    "max_body_bytes": 5,
    "max_concurrent_requests": 1,
    "instances": 1,
    "deployments": {"blue": 100},
    "bandwidth_delay_ms": {"request": 1, "response": 2},
    "condition": "overloaded",
    "token_refresh_seconds": 5,
    "token_lifetime_seconds": 9,
    "tags": {"a": "b"},
    "model_version": 1,
    "listeners": ["http"],
    "connections": ["close", None],
}
REPLY: dict[str, Any] = {
    "status": 200,
    "reason": "OK",
    "version": "HTTP/1.1",
    "headers": [["A", "b"]],
    "body": {"json": [1], "repeat": 2},
    "encode": "gzip",
    "chunked": 3,
    "trailers": [["A", "b"]],
    "interim": [{"status": 103, "headers": [["A", "b"]]}],
    "delay": 0.5,
    "drip": {"bytes": 1, "seconds": 0, "headers": False},
    "before_body": True,
    "close": True,
    "fault": {"kind": "reset", "body": 3},
}
ACT_MEMBERS: dict[str, Any] = {
    "key": "primary",
    "value": "x",
    "seconds": 5,
    "auth": "key",
    "condition": "overloaded",
    "deployments": {"a": 100},
    "replies": [REPLY],
    "to": "score",
}

words = st.sampled_from(["", "x", "key", "*", "reset", "gzip", "a\r\nb", "\x00", "é", "\ud800"])
numbers = st.one_of(st.integers(-2, 3), st.sampled_from([10**30, -(2**63), 1.5, float("nan"), float("inf")]))
atoms = st.one_of(st.none(), st.booleans(), numbers, words)
values = st.recursive(
    atoms, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2), max_leaves=4
)


@st.composite
def damaged(draw: st.DrawFn, good: Any) -> Any:
    """Some members of a good value, one of them (here or deeper) replaced by any other value."""
    if isinstance(good, dict) and good:
        kept = draw(st.lists(st.sampled_from(sorted(good)), min_size=1, max_size=5, unique=True))
        result = {name: good[name] for name in kept}
        result[kept[0]] = draw(damaged(good[kept[0]]))
        return result
    if isinstance(good, list) and good:
        return [draw(damaged(good[0])), *good[1:]]
    return draw(values)


def refusal(read: Callable[[], object]) -> str | None:
    """Return the sentence with which a value is refused, None when it is taken."""
    try:
        read()
    except SpecError as error:
        return str(error)
    return None


def test_the_good_values_are_good() -> None:
    other_auth = {"token_refresh_seconds", "token_lifetime_seconds"}
    assert refusal(lambda: parse_spec({k: v for k, v in SPEC.items() if k not in other_auth})) is None
    assert refusal(lambda: parse_reply(REPLY, "reply")) is None


@settings(max_examples=300, deadline=None)
@given(damaged(SPEC))
def test_any_spec(spec: Any) -> None:
    assert refusal(lambda: Service(parse_spec(spec))) != ""


@settings(max_examples=400, deadline=None)
@given(damaged(REPLY))
def test_any_reply(reply: Any) -> None:
    assert refusal(lambda: parse_reply(reply, "reply")) != ""


@pytest.mark.parametrize("act", ACTS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(members=damaged(ACT_MEMBERS))
def test_any_act(act: str, members: Any) -> None:
    service = Service(parse_spec({"profile": "managed-v2"}))
    wish = {"act": act, **members} if isinstance(members, dict) else members
    assert refusal(lambda: perform(service, wish)) != ""


@given(values)
def test_any_name_of_an_act(name: Any) -> None:
    service = Service(parse_spec({}))
    with pytest.raises(SpecError):
        perform(service, {"act": name})
