"""The hot path answers as the layers do, and only when it should."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from typing import Any

import pytest
from scoring_mock.http_types import Request, Response
from scoring_mock.service.registry import Registry

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_MILLISECONDS = re.compile(r"\d+\.\d{3}")
PROFILES = ["container", "aci-v1", "aks-v1", "k8s-v2", "managed-v2"]


def comparable(reply: Response) -> tuple[Any, ...]:
    """Everything about a reply; times and new ids as their form, so that equal ids stay equal."""
    ids: dict[str, str] = {}
    fields = []
    for name, text in reply.headers:
        if _UUID.fullmatch(text):
            text = ids.setdefault(text, f"id {len(ids)}")
        if name.lower() == "x-ms-run-fn-exec-ms":
            text = _MILLISECONDS.sub("0.000", text)
        fields.append((name, "" if name.lower() == "date" else text))
    rest = (reply.chunks, reply.close, reply.source, reply.delay, reply.trailers, reply.unexpected, reply.version)
    return reply.status, reply.reason, fields, reply.body, rest


def random_cell(rng: random.Random) -> object:
    if rng.random() < 0.01:
        return rng.choice(["1", None, True, "x", 10**400, [1], {}, float("nan"), float("inf")])
    return rng.choice([rng.uniform(-1, 1), rng.randint(-9, 9), rng.uniform(-1, 1) * 10 ** rng.randint(-300, 300)])


def random_request(call: Any, rng: random.Random) -> Request:
    width = 10 if rng.random() < 0.97 else rng.randint(0, 12)
    document: Any = {"data": [[random_cell(rng) for _ in range(width)] for _ in range(rng.randint(0, 3))]}
    if rng.random() < 0.05:
        document = rng.choice([{}, [], None, {"data": None}, {"data": {}}, {**document, "more": 1}])
    text = json.dumps(document)
    if rng.random() < 0.05:
        text = rng.choice(["", " " + text, text + " ", text[:-1], "\ufeff" + text])
    headers = rng.choice(
        [[]] * 9
        + [
            [("x-ms-client-request-id", rng.choice(["a-1", "x" * 41, "a.b", "", "x" * 101]))],
            [("x-request-id", "a")],
            [("connection", rng.choice(["close", "keep-alive"]))],
            [("traceid", "t")],
            [("accept", "*/*"), ("accept", "text/xml")],
            [("origin", "https://a.example")],
            [("azureml-model-deployment", rng.choice(["blue", "red"]))],
        ]
    )
    request: Request = call.request(
        rng.choice(["POST"] * 40 + ["GET", "HEAD", "OPTIONS", "PUT"]),
        rng.choice(["/score"] * 40 + ["/", "/score?a=1", "/swagger.json", "//score"]),
        text.encode(),
        headers=headers,
        content_type=rng.choice(["application/json"] * 40 + ["application/json; charset=utf-8", "text/plain", None]),
        key=rng.choice(["primary"] * 40 + ["secondary", "wrong", None]),
        version=rng.choice([(1, 1)] * 40 + [(1, 0)]),
    )
    return request


@pytest.mark.parametrize("profile", PROFILES)
def test_it_answers_as_the_layers_do(make: Callable[..., Any], profile: str) -> None:
    call = make(profile=profile)
    hot_path = call.service._hot_path
    rng = random.Random(20261124)
    taken = 0
    for _ in range(1500):
        request = random_request(call, rng)
        hot = hot_path.answer(request)
        if hot is not None:
            taken += 1
            assert comparable(hot) == comparable(call.service.handle_in_layers(request)), request
    assert taken > 300


@pytest.mark.parametrize("profile", PROFILES)
def test_it_takes_the_common_request(make: Callable[..., Any], profile: str) -> None:
    call = make(profile=profile)
    for headers in ([], [("x-ms-client-request-id", "b1c9e5a0-0000-4000-8000-000000000000"), ("user-agent", "x")]):
        assert call.service._hot_path.answer(call.request(headers=headers)) is not None


@pytest.mark.parametrize(
    "spec",
    [
        {"script": "undecorated"},
        {"server_generation": "legacy"},
        {"cors_origins": ["*"]},
        {"max_concurrent_requests": 1},
        {"profile": "managed-v2", "bandwidth_delay_ms": {"request": 1, "response": 1}},
        {"max_body_bytes": 1000},
        {"replies": []},
        {"condition": "overloaded"},
        {"profile": "managed-v2", "deployments": {"blue": 50, "green": 50}},
        {"profile": "managed-v2", "deployments": {}},
        {"auth": "token"},
    ],
)
def test_unusual_services_have_none(make: Callable[..., Any], spec: dict[str, Any]) -> None:
    assert make(**spec).service._hot_path is None


@pytest.mark.parametrize(
    ("act", "back"),
    [
        ({"act": "set-condition", "condition": "overloaded"}, {"act": "set-condition", "condition": None}),
        ({"act": "set-auth", "auth": "token"}, {"act": "set-auth", "auth": "key"}),
        (
            {"act": "set-deployments", "deployments": {"a": 50, "b": 50}},
            {"act": "set-deployments", "deployments": {"a": 100}},
        ),
        ({"act": "add-replies", "replies": [{"status": 418}]}, None),
    ],
)
def test_acts_end_it_and_bring_it_back(
    make: Callable[..., Any], registry: Registry, act: dict[str, Any], back: dict[str, Any] | None
) -> None:
    call = make(profile="managed-v2")
    assert call().status == 200
    registry.act(call.service.name, act)
    assert call.service._hot_path is None
    if back is not None:
        registry.act(call.service.name, back)
        assert call.service._hot_path is not None
        assert call().status == 200


def test_a_regenerated_key_is_known_to_it_at_once(make: Callable[..., Any], registry: Registry) -> None:
    call = make()
    old = call.service.keys.primary
    registry.act(call.service.name, {"act": "regenerate", "key": "primary"})
    hot_path = call.service._hot_path
    assert hot_path.answer(call.request(key=old)) is None
    assert hot_path.answer(call.request()) is not None


def test_large_bodies_are_for_the_layers(make: Callable[..., Any]) -> None:
    call = make()
    body = {"data": [[1] * 10], "padding": "x" * 1024 * 1024}
    assert call.service._hot_path.answer(call.request(body=body)) is None
    assert call(body=body).status == 200
