"""The five profiles: authentication, addresses, status mapping, and what the front ends answer by themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, get_args

import pytest
from scoring_mock.http_types import Response, SpecError
from scoring_mock.profiles.catalogue import PROFILES, ProfileName
from scoring_mock.profiles.front_end import Condition
from scoring_mock.service.registry import Registry

FAILED = {"message": "An unexpected error occurred in scoring script. Check the logs for more info."}
V1_TIMEOUT = (
    b"Post http://localhost:5001/score: net/http: request canceled (Client.Timeout exceeded while awaiting headers)"
)


def value(reply: Response, name: str) -> str | None:
    return next((text for key, text in reply.headers if key.lower() == name.lower()), None)


# The article's table of authentication methods, cell by cell (W22), and what v2 has in its place.


def test_key_on_aci_is_disabled_by_default(make: Callable[..., Any]) -> None:
    call = make(profile="aci-v1")
    assert call.service.auth == "off"
    assert call().status == 200


def test_key_on_aci_can_be_enabled(make: Callable[..., Any]) -> None:
    call = make(profile="aci-v1", auth="key")
    assert call().status == 200
    assert call(key=None).status == 401


def test_key_on_aks_is_enabled_by_default(make: Callable[..., Any]) -> None:
    call = make(profile="aks-v1")
    assert call.service.auth == "key"
    assert call().status == 200
    assert call(key=None).status == 401


def test_token_on_aci_is_not_available(registry: Registry) -> None:
    with pytest.raises(SpecError, match="the profile aci-v1 has no authentication 'token', only off, key"):
        registry.create([{"profile": "aci-v1", "auth": "token"}])


def test_token_on_aci_cannot_be_switched_on_later(make: Callable[..., Any], registry: Registry) -> None:
    name = make(profile="aci-v1").service.name
    with pytest.raises(SpecError, match="aci-v1 has no authentication 'token'"):
        registry.act(name, {"act": "set-auth", "auth": "token"})
    with pytest.raises(SpecError, match="authentication off, not token"):
        registry.act(name, {"act": "issue-token"})


def test_token_on_aks_is_disabled_by_default_and_can_be_enabled(make: Callable[..., Any]) -> None:
    assert make(profile="aks-v1").service.auth != "token"
    assert make(profile="aks-v1", auth="token").service.auth == "token"


@pytest.mark.parametrize(
    ("profile", "default", "others"),
    [
        ("container", "off", set()),
        ("aci-v1", "off", {"key"}),
        ("aks-v1", "key", {"token", "off"}),
        ("k8s-v2", "key", {"token", "off"}),
        ("managed-v2", "key", {"token", "off"}),
    ],
)
def test_authentication_modes(profile: ProfileName, default: str, others: set[str]) -> None:
    assert PROFILES[profile].default_auth == default
    assert set(PROFILES[profile].auth_modes) == {default} | others


def test_the_container_knows_no_authentication(make: Callable[..., Any]) -> None:
    call = make(profile="container")
    assert call(headers=[("authorization", "Bearer nonsense")]).status == 200


@pytest.mark.parametrize(
    ("profile", "base"),
    [
        ("container", ""),
        ("aci-v1", ""),
        ("aks-v1", "/api/v1/service/s1"),
        ("k8s-v2", "/api/v1/endpoint/s1"),
        ("managed-v2", ""),
    ],
)
def test_paths(registry: Registry, ports: Any, profile: str, base: str) -> None:
    (described,) = registry.create([{"profile": profile, "name": "s1"}])
    assert described["scoring_path"] == f"{base}/score"
    assert described["swagger_path"] == f"{base}/swagger.json"
    assert described["health_path"] == f"{base}/"
    host = "http://shared.test:1" if base else "http://s1.test"
    assert described["uris"]["http"]["scoring"] == f"{host}{base}/score"
    assert set(described["uris"]) == {"http", "https"}
    assert ("s1" in ports.opened) == (not base)


@pytest.mark.parametrize(("profile", "tls"), [("aci-v1", "1.2"), ("managed-v2", "1.3"), ("container", "1.3")])
def test_newest_tls_version_of_a_host_of_ones_own(registry: Registry, ports: Any, profile: str, tls: str) -> None:
    registry.create([{"profile": profile, "name": "s1"}])  # W37
    assert ports.opened["s1"] == (["http", "https"], tls)


@pytest.mark.parametrize("profile", ["aci-v1", "aks-v1", "k8s-v2"])
@pytest.mark.parametrize(("status", "mapped"), [(200, 200), (201, 201), (400, 400), (418, 418), (500, 502), (503, 503)])
def test_the_router_turns_500_into_502_and_nothing_else(
    make: Callable[..., Any], profile: str, status: int, mapped: int
) -> None:  # W26
    call = make(profile=profile, replies=[{"result": {"status": status, "body": {"text": "said the model"}}}])
    reply = call()
    assert (reply.status, reply.body) == (mapped, b"said the model")
    assert value(reply, "ms-azureml-model-error-reason") is None
    assert value(reply, "x-ms-run-function-failed") == str(status >= 500)


@pytest.mark.parametrize("status", [201, 204, 301, 400, 404, 429, 500, 503])
def test_a_managed_endpoint_turns_everything_but_200_into_424(make: Callable[..., Any], status: int) -> None:  # W27
    result = {"status": status, "headers": {"X-Mine": "kept"}, "body": {"text": "said the model"}}
    reply = make(profile="managed-v2", replies=[{"result": result}])()
    assert (reply.status, reply.reason) == (424, "Failed Dependency")
    assert reply.body == (b"" if status == 204 else b"said the model")
    assert value(reply, "x-mine") == "kept"
    assert value(reply, "ms-azureml-model-error-reason") == "model_error"
    assert value(reply, "ms-azureml-model-error-statuscode") == str(status)


def test_a_managed_endpoint_leaves_200_alone(make: Callable[..., Any]) -> None:
    reply = make(profile="managed-v2")()
    assert reply.status == 200
    assert value(reply, "ms-azureml-model-error-reason") is None


def test_bad_input_at_a_managed_endpoint_keeps_the_models_words(make: Callable[..., Any]) -> None:
    reply = make(profile="managed-v2")(body={})
    assert (reply.status, value(reply, "ms-azureml-model-error-statuscode")) == (424, "400")
    assert json.loads(reply.body) == {"message": "A value is not provided for the 'data' parameter."}


def test_header_names_are_spelt_as_the_front_end_does(make: Callable[..., Any]) -> None:
    assert value(make(profile="aks-v1")(), "Server") == "gunicorn"
    v1 = {name for name, _ in make(profile="aks-v1")(headers=[("traceid", "t")]).headers}
    assert {"X-Ms-Request-Id", "X-Ms-Run-Function-Failed", "X-Ms-Run-Fn-Exec-Ms", "Traceid", "Server"} <= v1
    managed = make(profile="managed-v2")().headers
    assert [name for name, _ in managed][:4] == ["server", "date", "content-type", "content-length"]
    assert all(name == name.lower() for name, _ in managed)
    assert dict(managed)["server"] == "azureml-frontdoor"


@pytest.mark.parametrize("profile", ["aci-v1", "aks-v1", "k8s-v2", "managed-v2"])
def test_front_ends_keep_the_connection_unless_asked_not_to(make: Callable[..., Any], profile: str) -> None:  # W13
    call = make(profile=profile)
    kept = call()
    assert not kept.close
    assert value(kept, "connection") == ("keep-alive" if profile == "aci-v1" else None)
    closed = call(headers=[("connection", "close")])
    assert closed.close
    assert value(closed, "connection") == "close"
    assert call(key="wrong", headers=[("connection", "close")]).close


@pytest.mark.parametrize(
    ("profile", "condition", "status", "content_type", "body", "reason"),
    [
        (
            "aks-v1",
            "overloaded",
            503,
            "text/plain; charset=utf-8",
            b"Too many requests for service s1 (overloaded)",
            None,
        ),
        ("k8s-v2", "no-ready-replicas", 503, "text/plain; charset=utf-8", b"No ready replicas for service s1", None),
        (
            "aks-v1",
            "replica-closed",
            503,
            "text/plain; charset=utf-8",
            b"Replica closed connection before replying",
            None,
        ),
        ("aci-v1", "timeout", 504, "text/plain; charset=utf-8", V1_TIMEOUT, None),
        ("managed-v2", "timeout", 408, "text/plain", b"upstream request timeout", None),
        ("managed-v2", "overloaded", 429, "text/plain", b"", "too_many_pending_request"),
        ("managed-v2", "rate-limited", 429, "text/plain", b"", None),
        ("managed-v2", "model-not-ready", 424, "text/plain", None, "model_not_ready"),
        ("managed-v2", "too-few-instances", 424, "text/plain", None, "too_few_model_instance"),
        ("managed-v2", "no-deployment", 404, "text/plain", b"Specified traffic group could not be found", None),
        ("managed-v2", "unauthorized", 401, "text/plain", b"key_auth_access_denied", None),
        ("managed-v2", "forbidden", 403, "text/plain", None, None),
        ("managed-v2", "platform-error", 500, "text/plain", None, None),
        ("aks-v1", "platform-error", 500, "text/plain; charset=utf-8", None, None),
    ],
)  # W24 W28 W29 W30 W31 W38
def test_conditions(
    make: Callable[..., Any],
    profile: str,
    condition: str,
    status: int,
    content_type: str,
    body: bytes | None,
    reason: str | None,
) -> None:
    call = make(profile=profile, name="s1", auth="key", condition=condition)
    reply = call()
    assert (reply.status, value(reply, "content-type")) == (status, content_type)
    if body is not None:
        assert reply.body == body
    assert value(reply, "content-length") == str(len(reply.body))
    assert value(reply, "ms-azureml-model-error-reason") == reason
    assert value(reply, "ms-azureml-model-error-statuscode") is None
    assert value(reply, "retry-after") is None
    assert value(reply, "x-request-id" if profile == "managed-v2" else "x-ms-request-id")
    assert reply.source == ("auth" if condition in ("unauthorized", "forbidden") else "front-end")
    # The front end asks for the credential first; health is not concerned.
    assert call(key="wrong").status == 401
    assert call("GET", "/").body == b"Healthy"


def test_the_page_of_a_gateway_is_html_without_ids(make: Callable[..., Any]) -> None:  # W33
    reply = make(profile="aks-v1", condition="gateway-page")()
    assert (reply.status, value(reply, "content-type")) == (504, "text/html")
    assert reply.body.startswith(b"<html>")
    assert not [name for name, _ in reply.headers if "request-id" in name.lower()]


@pytest.mark.parametrize("profile", get_args(ProfileName))
def test_every_condition_of_a_profile_can_be_played(make: Callable[..., Any], profile: ProfileName) -> None:
    front = PROFILES[profile].front
    for condition in front.forms if front else ():
        reply = make(profile=profile, replies=[{"form": condition}])()
        assert reply.status == front.forms[condition].status  # type: ignore[union-attr]


def test_together_the_front_ends_know_every_condition() -> None:
    known = {condition for profile in PROFILES.values() if profile.front for condition in profile.front.forms}
    assert known == set(get_args(Condition))


@pytest.mark.parametrize(
    ("profile", "seconds", "status", "delay"),
    [
        ("aks-v1", 59.5, 200, 59.5),
        ("aks-v1", 60.5, 504, 60.0),
        ("k8s-v2", 4.5, 200, 4.5),
        ("k8s-v2", 5.5, 504, 5.0),
        ("managed-v2", 4.5, 200, 4.5),
        ("managed-v2", 5.5, 408, 5.0),
        ("container", 70.0, 200, 70.0),
    ],
)
def test_default_time_limits(
    make: Callable[..., Any], profile: str, seconds: float, status: int, delay: float
) -> None:  # W28
    reply = make(profile=profile, script="plain")(body={"mode": "sleep", "s": seconds})
    assert (reply.status, reply.delay) == (status, delay)


def test_a_time_limit_of_ones_own(make: Callable[..., Any]) -> None:
    call = make(profile="managed-v2", script="plain", request_timeout_ms=100)
    reply = call(body={"mode": "sleep", "s": 1})
    assert (reply.status, reply.body, reply.delay) == (408, b"upstream request timeout", 0.1)


@pytest.mark.parametrize("profile", ["aci-v1", "aks-v1", "k8s-v2"])
def test_v1_takes_100_mebibytes(profile: ProfileName) -> None:  # W32
    front = PROFILES[profile].front
    assert front is not None
    assert front.max_body_bytes == 100 * 1024 * 1024


def test_larger_bodies_are_refused_before_they_are_read(make: Callable[..., Any]) -> None:  # W32
    call = make(profile="aks-v1", max_body_bytes=1000)
    assert call(body={"data": [[1] * 10], "pad": "x" * 800}).status == 200
    too_large = call.request(body={"pad": "x" * 2000})
    complete = call.service.handle(too_large)
    assert (complete.status, complete.close) == (413, True)
    too_large.body = b""
    early = call.service.handle_head(too_large)
    assert early is not None
    assert (early.status, early.close) == (413, True)
    # A wrong key is worse than a large body, and is told after the body, as a small one's is.
    wrong = call.request(body={"pad": "x" * 2000}, key="wrong")
    assert call.service.handle(wrong).status == 401
    assert call.service.handle_head(wrong) is None
    assert call.service.handle_head(call.request()) is None


def test_no_limit_in_the_container(make: Callable[..., Any]) -> None:
    call = make(profile="container", script="raw")
    assert call(body=b"x" * 200_000).body == b"200000 bytes, first=78787878"


def test_health_and_swagger_ask_for_no_credential(make: Callable[..., Any]) -> None:
    for profile in ("aci-v1", "aks-v1", "k8s-v2", "managed-v2"):
        call = make(profile=profile, auth="key")
        assert call("GET", "/", key=None).body == b"Healthy"  # W01
        assert call("GET", "/swagger.json", key=None).status == 200
        assert call("GET", "/swagger.json", key="wrong").status == 200


def test_bandwidth_is_told_in_trailers(make: Callable[..., Any]) -> None:  # W34
    call = make(profile="managed-v2", bandwidth_delay_ms={"request": 20, "response": 30})
    reply = call()
    assert reply.trailers == [
        ("ms-azureml-bandwidth-request-delay-ms", "20"),
        ("ms-azureml-bandwidth-response-delay-ms", "30"),
    ]
    assert (reply.delay, b"".join(reply.chunks or [])) == (0.05, b"[5215.198131579871]")
    assert value(reply, "content-length") is None
    assert value(reply, "transfer-encoding") == "chunked"


def test_streams_come_through_a_front_end(make: Callable[..., Any]) -> None:  # W21
    reply = make(profile="aks-v1", script="raw")(path="/score?mode=gen", body=b"x")
    assert reply.chunks == [b"one\n", b"two\n", b"three\n"]
    assert value(reply, "Transfer-Encoding") == "chunked"
    assert value(reply, "Content-Length") is None
