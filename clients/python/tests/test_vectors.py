"""The vectors that all four clients share."""

import json
from pathlib import Path
from typing import Any

import pytest
import urllib3
from scoring_client import _Reply, _service_message, back_off, retry_hint, should_repeat

VECTORS = json.loads(Path(__file__).parents[2].joinpath("test-vectors", "retry.json").read_text(encoding="utf-8"))


def named(which: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("vector", VECTORS[which], ids=lambda vector: vector["name"])


def headers(pairs: list[tuple[str, str]]) -> urllib3.HTTPHeaderDict:
    made = urllib3.HTTPHeaderDict()
    for name, value in pairs:
        made.add(name, value)
    return made


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
    assert should_repeat(_Reply(vector["status"], headers(vector["headers"])), statuses) is vector["repeated"]


# Proves B62.
@named("messages")
def test_message(vector: dict[str, Any]) -> None:
    assert _service_message(vector["body"].encode()) == vector["message"]
