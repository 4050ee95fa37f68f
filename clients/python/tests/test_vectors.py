"""The vectors that all four clients share."""

import json
from pathlib import Path
from typing import Any

import pytest
import urllib3
from scoring_client import ScoringError, TransportError, _Call, _service_message, back_off, retry_hint, should_repeat

VECTORS = json.loads(Path(__file__).parents[2].joinpath("test-vectors", "retry.json").read_text(encoding="utf-8"))


def named(which: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("vector", VECTORS[which], ids=lambda vector: vector["name"])


def headers(pairs: list[tuple[str, str]]) -> urllib3.HTTPHeaderDict:
    made = urllib3.HTTPHeaderDict()
    for name, value in pairs:
        made.add(name, value)
    return made


def outcome(status: int, reply_headers: urllib3.HTTPHeaderDict) -> ScoringError:
    """The error of a status; a success that is one has a wrong body."""
    call = _Call("POST", "https://service.test/score", 100.0)
    if 200 <= status <= 299:
        return call.reply_error("the reply is empty")
    return call.service_error(urllib3.HTTPResponse(status=status, headers=reply_headers), b"")


# Proves B49.
@named("hints")
def test_retry_hint(vector: dict[str, Any]) -> None:
    hint = retry_hint(headers(vector["headers"]), VECTORS["now"])
    assert hint == (None if vector["seconds"] is None else pytest.approx(vector["seconds"], abs=1e-6))


# Proves B48.
@pytest.mark.parametrize("vector", VECTORS["back_off"])
def test_back_off(vector: dict[str, Any]) -> None:
    wait = back_off(vector["retry"], vector["base_delay"], vector["max_delay"], vector["random"])
    assert wait == pytest.approx(vector["seconds"], abs=1e-6)


# Proves B42, B43, B44, B45, B46, B47.
@named("should_repeat")
def test_should_repeat(vector: dict[str, Any]) -> None:
    statuses = vector.get("retry_statuses", [429, 500, 502, 503])
    assert should_repeat(outcome(vector["status"], headers(vector["headers"])), statuses) is vector["repeated"]


# Proves B30, B31, B40, B41.
@pytest.mark.parametrize("network", [True, False])
@pytest.mark.parametrize("timed_out", [True, False])
def test_the_network_is_repeated_and_nothing_else(network: bool, timed_out: bool) -> None:
    error = TransportError("text", attempts=1, reason="reason", timed_out=timed_out, _network=network)
    assert should_repeat(error, [503]) is network


# Proves B62.
@named("messages")
def test_message(vector: dict[str, Any]) -> None:
    assert _service_message(vector["body"].encode()) == vector["message"]
