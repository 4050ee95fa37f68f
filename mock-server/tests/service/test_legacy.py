"""The legacy generation of the server: errors as text, fewer judgements before the script (W07 W16 W17)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from scoring_mock.http_types import Response

HTML = "text/html; charset=utf-8"
GOOD = {"data": [list(range(1, 11))]}


def value(reply: Response, name: str) -> str | None:
    return next((text for key, text in reply.headers if key.lower() == name.lower()), None)


def legacy(make: Callable[..., Any], script: str = "model", profile: str = "container") -> Any:
    return make(profile=profile, server_generation="legacy", script=script)


def test_a_good_reply_has_the_older_headers(make: Callable[..., Any]) -> None:
    reply = legacy(make)()
    assert (reply.status, reply.body, reply.close) == (200, b"[5215.198131579871]", False)
    assert [name for name, _ in reply.headers] == [
        "Server",
        "Date",
        "Connection",
        "Content-Type",
        "Content-Length",
        "x-ms-run-function-failed",
        "x-ms-run-fn-exec-ms",
        "x-ms-request-id",
    ]
    assert reply.headers[0] == ("Server", "nginx/1.10.3 (Ubuntu)")
    assert value(reply, "Connection") == "keep-alive"


@pytest.mark.parametrize(
    ("script", "body", "status", "content_type", "text"),
    [
        ("plain", {"mode": "raise"}, 500, HTML, "boom secret detail"),  # the exception's own text
        ("plain", b'{"data":', 500, HTML, "Expecting value: line 1 column 9 (char 8)"),
        ("plain", {"mode": "obj"}, 500, HTML, "Object of type object is not JSON serializable"),
        ("model", {"data": [[1, 2]]}, 500, HTML, "array has size 2 on dimension #1, while expected value is 10"),
        ("model", {}, 500, HTML, "list index out of range"),
        ("model", {"data": [[1] * 10], "zzz": 1}, 500, HTML, "run() got an unexpected keyword argument 'zzz'"),
        ("model", [1], 500, HTML, "run() argument after ** must be a mapping, not list"),
        ("model", b'{"data":', 500, HTML, "An unexpected internal error occurred. Encountered Exception: Traceback"),
    ],
)
def test_failures_show_their_text(
    make: Callable[..., Any], script: str, body: object, status: int, content_type: str, text: str
) -> None:
    reply = legacy(make, script)(body=body)
    assert (reply.status, value(reply, "Content-Type")) == (status, content_type)
    assert text in reply.body.decode()
    # Behind the router of v1 it is the recorded 502 (W26): bare text, by nginx, kept alive.
    behind = legacy(make, script, "aci-v1")(body=body)
    assert (behind.status, behind.body) == (502, reply.body)
    assert value(behind, "Server") == "nginx/1.10.3 (Ubuntu)"
    assert value(behind, "Connection") == "keep-alive"
    assert "X-Ms-Request-Id" in [name for name, _ in behind.headers]


def test_another_media_type_is_415_in_json(make: Callable[..., Any]) -> None:
    call = legacy(make)
    for content_type in ("text/plain", None, "application/x+json", "Application/JSON"):
        reply = call(content_type=content_type)
        assert (reply.status, json.loads(reply.body)) == (
            415,
            {"message": "Expects Content-Type to be application/json"},
        )


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("OPTIONS", "/score", 405, b'"Method not allowed"'),  # W17: a JSON string
        ("GET", "/nope", 404, b"<!DOCTYPE HTML"),
        ("PUT", "/score", 405, b"<!DOCTYPE HTML"),
        ("GET", "/", 200, b"Healthy"),
    ],
)
def test_routes(make: Callable[..., Any], method: str, path: str, status: int, body: bytes) -> None:
    reply = legacy(make)(method, path)
    assert reply.status == status
    assert reply.body.startswith(body)
    assert value(reply, "x-ms-request-id")


def test_a_slow_script_times_out_in_text(make: Callable[..., Any]) -> None:
    call = make(profile="container", server_generation="legacy", script="plain", scoring_timeout_ms=700)
    reply = call(body={"mode": "sleep", "s": 1})
    assert (reply.status, reply.body, reply.delay) == (500, b"Scoring timeout after 700 ms", 0.7)


def test_ids_have_no_limit(make: Callable[..., Any]) -> None:
    assert value(legacy(make)(headers=[("x-ms-request-id", "a" * 500)]), "x-ms-request-id") == "a" * 500


def test_get_and_head_score(make: Callable[..., Any]) -> None:
    call = legacy(make)
    got = call("GET", "/score?data=[[1,2,3,4,5,6,7,8,9,10]]")
    assert got.body == b"[5215.198131579871]"
    head = call("HEAD", "/score?data=[[1,2,3,4,5,6,7,8,9,10]]")
    assert (head.status, head.body, value(head, "Content-Length")) == (200, b"", "19")


def test_a_raw_script_answers_for_itself(make: Callable[..., Any]) -> None:
    call = legacy(make, "raw")
    assert call("OPTIONS").status == 204
    reply = call(path="/score?mode=500", body=b"abc")
    assert (reply.status, reply.body) == (500, b"model said no")
    assert value(reply, "x-ms-run-function-failed") == "False"
