"""Scripted answers, deployments and capacity."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from scoring_mock.http_types import Response
from scoring_mock.service import traffic
from scoring_mock.service.registry import Registry
from scoring_mock.service.traffic import Capacity, Traffic


def value(reply: Response, name: str) -> str | None:
    return next((text for key, text in reply.headers if key.lower() == name.lower()), None)


def test_replies_are_played_in_order_and_exactly_as_written(make: Callable[..., Any]) -> None:
    call = make(
        replies=[
            {"status": 400, "headers": [["X-A", "1"], ["X-A", "2"]], "body": {"json": {"message": "no"}}},
            {"body": {"text": "two"}},
        ]
    )
    first = call()
    assert (first.status, first.reason, first.source) == (400, "Bad Request", "reply")
    assert first.headers == [
        ("X-A", "1"),
        ("X-A", "2"),
        ("Content-Type", "application/json"),
        ("Content-Length", "17"),
    ]
    assert call().body == b"two"
    beyond = call()
    assert (beyond.status, beyond.unexpected) == (500, True)
    assert call().unexpected


def test_an_empty_list_makes_every_scoring_request_unexpected(make: Callable[..., Any]) -> None:
    call = make(replies=[])
    assert call().unexpected
    assert not call("GET", "/").unexpected


def test_replies_come_after_authentication_and_only_to_scoring(make: Callable[..., Any]) -> None:
    call = make(replies=[{"status": 418}])
    assert call(key="wrong").status == 401
    assert call("GET", "/").body == b"Healthy"
    assert call("GET", "/swagger.json").status == 200
    assert call().status == 418


def test_health_and_swagger_can_be_scripted_too(make: Callable[..., Any]) -> None:
    call = make(health_replies=[{"body": {"text": "Sick"}}], swagger_replies=[{"status": 404}])
    assert call("GET", "/", key=None).body == b"Sick"
    assert call("GET", "/swagger.json", key=None).status == 404
    assert call().status == 200


def test_a_reply_to_head_has_no_body(make: Callable[..., Any]) -> None:
    reply = make(replies=[{"body": {"text": "two"}}])("HEAD")
    assert (reply.body, value(reply, "Content-Length")) == (b"", "3")


def test_a_reply_may_go_out_before_the_body_was_read(make: Callable[..., Any]) -> None:
    call = make(replies=[{"status": 413, "before_body": True}, {"status": 200}])
    early = call.service.handle_head(call.request())
    assert early is not None
    assert early.status == 413
    assert call.service.handle_head(call.request()) is None
    assert call().status == 200


def test_replies_can_be_added(make: Callable[..., Any], registry: Registry) -> None:
    call = make()
    name = call.service.name
    added = registry.act(name, {"act": "add-replies", "replies": [{"status": 503}, {"form": "overloaded"}]})
    assert added == {"waiting": 2}
    assert [call().status for _ in range(3)] == [503, 503, 500]
    registry.act(name, {"act": "add-replies", "to": "health", "replies": [{"status": 404}]})
    assert call("GET", "/").status == 404


def test_the_container_plays_replies_without_a_front_end(make: Callable[..., Any]) -> None:
    call = make(profile="container", replies=[{"status": 201}, {"result": {"status": 500, "body": {"text": "x"}}}])
    assert call().status == 201
    assert (call().status, call().unexpected) == (500, True)


@pytest.mark.parametrize(
    ("profile", "result", "status", "body"),
    [
        ("aks-v1", "application-error", 200, {"error": "caught in run()"}),  # W44
        ("aks-v1", "application-error-encoded", 200, '{"error": "caught in run()"}'),
        (
            "aks-v1",
            "designer-error",
            400,
            {
                "error": {
                    "code": 400,
                    "message": "Input Data Error. Input data are inconsistent with schema.",
                    "details": "",
                }
            },
        ),  # W45
        ("managed-v2", "application-error", 200, {"error": "caught in run()"}),
        ("managed-v2", {"status": 429, "body": {"json": [1]}}, 424, [1]),
        ("k8s-v2", {"body": {"json": None}}, 200, {}),  # W09
    ],
)
def test_results_of_the_script_go_through_the_layers(
    make: Callable[..., Any], profile: str, result: object, status: int, body: object
) -> None:
    reply = make(profile=profile, replies=[{"result": result}])()
    assert (reply.status, json.loads(reply.body)) == (status, body)
    assert value(reply, "x-ms-run-function-failed") == "False"
    assert value(reply, "x-ms-server-version") == "azmlinfsrv/1.5.1"


def test_a_result_may_send_retry_after_and_bytes(make: Callable[..., Any]) -> None:  # W38
    result = {"status": 503, "headers": {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, "body": {"base64": "AP8="}}
    reply = make(replies=[{"result": result}])()
    assert (reply.status, reply.body) == (503, b"\x00\xff")
    # The genuine server splits header values at their commas, dates too (W20).
    assert [text for name, text in reply.headers if name == "Retry-After"] == ["Wed", "21 Oct 2015 07:28:00 GMT"]


def test_a_result_may_take_its_time(make: Callable[..., Any]) -> None:
    call = make(profile="k8s-v2", replies=[{"result": {"seconds": 0.5}}, {"result": {"seconds": 9}}])
    assert call().delay == 0.5
    assert (call().status, call().unexpected) == (504, True)


def test_a_timeout_form_comes_after_the_time_limit(make: Callable[..., Any]) -> None:
    assert make(profile="k8s-v2", replies=[{"form": "timeout"}])().delay == 5.0


# Deployments (W30)


def deployment(reply: Response) -> str | None:
    return value(reply, "azureml-model-deployment")


def test_traffic_is_dealt_out_by_share(make: Callable[..., Any]) -> None:
    call = make(profile="managed-v2", deployments={"blue": 90, "green": 10})
    assert Counter(deployment(call()) for _ in range(100)) == {"blue": 90, "green": 10}


def test_small_shares_are_spread_out() -> None:
    dealt = Traffic([("a", 50), ("b", 50)])
    assert [dealt.choose(None) for _ in range(4)] == ["a", "b", "a", "b"]


def test_a_header_overrides_the_shares(make: Callable[..., Any]) -> None:
    call = make(profile="managed-v2", deployments={"blue": 100, "green": 0})
    assert deployment(call(headers=[("azureml-model-deployment", "green")])) == "green"
    unknown = call(headers=[("azureml-model-deployment", "red")])
    assert (unknown.status, unknown.source) == (404, "front-end")


@pytest.mark.parametrize("shares", [{}, {"blue": 0}])
def test_without_traffic_there_is_nobody_to_answer(make: Callable[..., Any], shares: dict[str, int]) -> None:
    reply = make(profile="managed-v2", deployments=shares)()
    assert (reply.status, reply.body) == (404, b"Specified traffic group could not be found")


def test_shares_can_be_changed(make: Callable[..., Any], registry: Registry) -> None:
    call = make(profile="managed-v2")
    assert deployment(call()) == "blue"
    act = {"act": "set-deployments", "deployments": {"green": 100}}
    assert registry.act(call.service.name, act) == {"deployments": {"green": 100}}
    assert deployment(call()) == "green"


def test_other_profiles_know_no_deployments(make: Callable[..., Any]) -> None:
    reply = make(profile="aks-v1")(headers=[("azureml-model-deployment", "red")])
    assert (reply.status, deployment(reply)) == (200, None)


# Capacity (W29)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    time = [1000.0]
    monkeypatch.setattr(traffic, "monotonic", lambda: time[0])
    return time


def test_a_place_is_free_when_the_delay_is_over(now: list[float]) -> None:
    capacity = Capacity(2, queue_wait=0.0)
    assert capacity.enter() == 0.0
    capacity.hold(5)
    capacity.hold(3)
    assert capacity.enter() is None
    now[0] += 2.9
    assert capacity.enter() is None
    now[0] += 0.1
    assert capacity.enter() == 0.0


def test_a_request_waits_a_little_for_a_place(now: list[float]) -> None:
    capacity = Capacity(1, queue_wait=0.5)
    capacity.hold(0.4)
    assert capacity.enter() == pytest.approx(0.4)
    capacity.hold(0.4 + 0.4)
    assert capacity.enter() is None  # two before it: its turn would come after 0.8
    now[0] += 0.4
    assert capacity.enter() == pytest.approx(0.4)


@pytest.mark.parametrize(("profile", "admitted", "status"), [("managed-v2", 2, 429), ("k8s-v2", 1, 503)])
def test_one_request_too_many_is_refused(
    make: Callable[..., Any], now: list[float], profile: str, admitted: int, status: int
) -> None:
    call = make(profile=profile, script="plain", max_concurrent_requests=1)
    slow = {"mode": "sleep", "s": 4}
    assert [call(body=slow).status for _ in range(admitted)] == [200] * admitted
    assert call(body=slow).status == status
    now[0] += 4
    assert call(body=slow).status == 200


def test_instances_multiply_the_places(make: Callable[..., Any], now: list[float]) -> None:
    call = make(profile="k8s-v2", script="plain", max_concurrent_requests=2, instances=3)
    assert [call(body={"mode": "sleep", "s": 4}).status for _ in range(7)] == [200] * 6 + [503]


def test_a_timed_out_request_keeps_its_place_until_the_model_ends(make: Callable[..., Any], now: list[float]) -> None:
    call = make(profile="k8s-v2", script="plain", max_concurrent_requests=1)
    assert call(body={"mode": "sleep", "s": 20}).status == 504
    now[0] += 10
    assert call().status == 503
    now[0] += 10
    assert call().status == 200
