"""What an admin may ask for, the sentences for what he may not, and the registry."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from scoring_mock.http_types import Request, SpecError
from scoring_mock.service.registry import Registry
from scoring_mock.service.spec import parse_spec


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ([], "services[0] must be an object"),
        ({"nope": 1}, "services[0] has an unknown member 'nope'; known are auth, bandwidth_delay_ms,"),
        ({"name": "A"}, "services[0].name must be 1 to 64 of a-z, 0-9 and -"),
        ({"name": ""}, "services[0].name must be 1 to 64"),
        ({"name": "a\n"}, "services[0].name must be 1 to 64"),
        ({"name": "x" * 65}, "services[0].name must be 1 to 64"),
        ({"profile": "gke"}, "services[0].profile must be one of container, aci-v1, aks-v1, k8s-v2, managed-v2"),
        ({"profile": ["aks-v1"]}, "services[0].profile must be one of"),
        ({"server_generation": "ancient"}, "services[0].server_generation must be one of modern, legacy"),
        ({"profile": "managed-v2", "server_generation": "legacy"}, "server_generation must be one of modern"),
        ({"auth": "basic"}, "services[0].auth must be one of off, key, token"),
        ({"profile": "container", "auth": "key"}, "the profile container has no authentication 'key', only off"),
        ({"auth": "off", "primary_key": "k"}, "primary_key goes only with auth key; this service has off"),
        ({"primary_key": "a b"}, "primary_key must be 1 to 1024 printable ASCII characters without blanks"),
        ({"secondary_key": ""}, "secondary_key must be 1 to 1024"),
        ({"script": "magic"}, "services[0].script must be one of model, undecorated, dumps, digits, mlflow,"),
        ({"replies": {}}, "services[0].replies must be a list"),
        ({"replies": [{"nope": 1}]}, "services[0].replies[0] has an unknown member 'nope'"),
        (
            {"replies": [{"form": "rate-limited"}]},
            "services[0].replies[0].form must be one of those that the profile aks-v1",
        ),
        ({"profile": "container", "replies": [{"form": "timeout"}]}, "knows: none, because it has no front end"),
        ({"replies": [{"result": "magic"}]}, "replies[0].result must be an object or one of application-error,"),
        ({"replies": [{"result": {"nope": 1}}]}, "replies[0].result must be an object with body, headers,"),
        ({"replies": [{"result": {"status": 99}}]}, "replies[0].result.status must be a whole number from 200 to 599"),
        ({"replies": [{"result": {"headers": {"a": 1}}}]}, "replies[0].result.headers must be an object of strings"),
        ({"replies": [{"result": {"headers": {"a": "1\r\nb: 2"}}}]}, "result.headers must not have line ends"),
        ({"replies": [{"result": {"body": "x"}}]}, "result.body must be an object with one of json, text, base64"),
        ({"replies": [{"result": {"body": {"text": 1}}}]}, "result.body.text must be a string"),
        ({"replies": [{"result": {"body": {"base64": "%"}}}]}, "result.body.base64 must be base64"),
        ({"replies": [{"result": {"seconds": -1}}]}, "result.seconds must be a number from 0 to 3600"),
        ({"swagger_cells": "text"}, "swagger_cells must be one of number, int64"),
        ({"cors_origins": "*"}, "cors_origins must be a list of origins"),
        ({"cors_origins": ["a b"]}, "cors_origins must be a list of origins"),
        ({"cors_origins": ["[a"]}, "'[a' is no regular expression"),
        ({"cors_origins": ["*"], "server_generation": "legacy"}, "the legacy server has no cross-origin headers"),
        ({"scoring_timeout_ms": 0}, "scoring_timeout_ms must be a whole number from 1 to 3600000"),
        ({"scoring_timeout_ms": True}, "scoring_timeout_ms must be a whole number"),
        ({"profile": "container", "request_timeout_ms": 5}, "request_timeout_ms makes no sense for this profile"),
        ({"max_body_bytes": "1"}, "max_body_bytes must be a whole number"),
        ({"instances": 0}, "instances must be a whole number from 1 to 1000"),
        ({"deployments": {"blue": 100}}, "deployments makes no sense for this profile"),
        ({"profile": "managed-v2", "deployments": {"blue": 60}}, "the shares must add up to 100, or to 0"),
        ({"profile": "managed-v2", "deployments": {"Blue": 100}}, "deployments must be an object of shares"),
        ({"profile": "managed-v2", "deployments": [100]}, "deployments must be an object of shares"),
        ({"profile": "managed-v2", "bandwidth_delay_ms": 5}, "bandwidth_delay_ms must be an object with request"),
        ({"condition": "rain"}, "condition must be one of those that the profile aks-v1 knows"),
        ({"token_lifetime_seconds": 5}, "token_lifetime_seconds makes no sense for this profile and authentication"),
        ({"auth": "token", "token_lifetime_seconds": 0}, "token_lifetime_seconds must be a number of seconds"),
        ({"auth": "token", "token_refresh_seconds": "1"}, "token_refresh_seconds must be a number of seconds"),
        ({"tags": {"a": 1}}, "tags must be an object of strings"),
        ({"description": 5}, "description must be a string"),
        ({"listeners": []}, "listeners must be a list of names of listeners, at least one"),
        ({"connections": ["close"]}, "connections goes only with listeners of the service's own"),
    ],
)
def test_bad_specs_get_one_clear_sentence_and_make_nothing(registry: Registry, spec: object, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        registry.create([spec])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(registry) == []


def test_names_and_keys_are_random_when_not_given() -> None:
    one, other = parse_spec({}), parse_spec({})
    assert one.name != other.name


def test_all_services_are_made_or_none(registry: Registry) -> None:
    with pytest.raises(SpecError, match=r"services\[1\]\.name: there is a service 'a' already"):
        registry.create([{"name": "a"}, {"name": "a"}])
    with pytest.raises(SpecError, match=r"services\[2\]\.profile"):
        registry.create([{"name": "a"}, {"name": "b"}, {"profile": "x"}])
    assert list(registry) == []
    registry.create([{"name": "a"}])
    with pytest.raises(SpecError, match="there is a service 'a' already"):
        registry.create([{"name": "b"}, {"name": "a"}])
    assert [service.name for service in registry] == ["a"]


def test_a_listener_that_cannot_be_opened_leaves_nothing_behind(
    registry: Registry, ports: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> dict[str, str]:
        raise SpecError("there is no listener 'x'")

    monkeypatch.setattr(ports, "open", refuse)
    with pytest.raises(SpecError, match="there is no listener"):
        registry.create([{"name": "a"}, {"name": "b", "profile": "container"}])
    assert list(registry) == []
    assert registry.get("a") is None
    assert ports.closed == ["a", "b"]


def test_a_service_is_described_with_keys_only_where_it_has_some(registry: Registry) -> None:
    keyed, open_, tokens = registry.create([{}, {"auth": "off"}, {"auth": "token"}])
    assert {"primary_key", "secondary_key"} <= set(keyed)
    assert not {"primary_key", "secondary_key"} & (set(open_) | set(tokens))
    assert (keyed["profile"], keyed["auth"], keyed["server_generation"]) == ("aks-v1", "key", "modern")


def ask(target: str, owner: str | None = None) -> Request:
    return Request("POST", target, (1, 1), [], [], b"", ("127.0.0.1", 1), "http", owner)


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/api/v1/service/a/score", "a"),
        ("/api/v1/service/a/", "a"),
        ("/api/v1/service/a/swagger.json?version=3", "a"),
        ("http://h:80/api/v1/service/a/score", "a"),
        ("/api/v1/endpoint/b/score", "b"),
        ("/api/v1/service/b/score", None),
        ("/api/v1/endpoint/a/score", None),
        ("/api/v1/service/aa/score", None),
        ("/api/v1/service/a", None),
        ("/API/v1/service/a/score", None),
        ("/score", None),
        ("/", None),
        ("*", None),
        ("", None),
    ],
)
def test_a_request_finds_its_service_by_path(registry: Registry, target: str, name: str | None) -> None:
    registry.create([{"name": "a"}, {"name": "b", "profile": "k8s-v2"}, {"name": "c", "profile": "container"}])
    found = registry.resolve("http", ask(target))
    assert (found.name if found else None) == name


def test_a_request_on_a_listener_of_ones_own_goes_to_its_owner(registry: Registry) -> None:
    registry.create([{"name": "a"}, {"name": "c", "profile": "container"}])
    found = registry.resolve("http", ask("/api/v1/service/a/score", owner="c"))
    assert found is registry.get("c")
    assert registry.resolve("http", ask("/score", owner="gone")) is None


def test_a_request_for_nobody_gets_a_404(registry: Registry) -> None:
    reply = registry.not_found(ask("/x"))
    assert (reply.status, reply.body) == (404, b"There is no service at this path.")


def test_dropped_services_are_gone(registry: Registry, ports: Any) -> None:
    registry.create([{"name": "a"}, {"name": "b"}])
    assert registry.drop(["a", "nobody", "a"]) == 1
    assert registry.resolve("http", ask("/api/v1/service/a/score")) is None
    assert registry.resolve("http", ask("/api/v1/service/b/score")) is registry.get("b")
    assert ports.closed == ["a"]
    registry.create([{"name": "a"}])


def test_acts_on_nobody_are_a_key_error(registry: Registry) -> None:
    with pytest.raises(KeyError):
        registry.act("nobody", {"act": "issue-token"})


def test_details_are_kept_for_the_control_plane(make: Callable[..., Any]) -> None:
    service = make(tags={"a": "1"}, properties={"p": ""}, description="d", model_name="m", model_version=3).service
    assert (service.details.tags, service.details.properties) == ({"a": "1"}, {"p": ""})
    assert (service.details.description, service.details.model_name, service.details.model_version) == ("d", "m", 3)
    created = service.created
    service.regenerate_key("primary")
    assert service.updated >= created


def test_json_of_a_service_is_json(registry: Registry) -> None:
    (described,) = registry.create([{"profile": "managed-v2"}])
    assert json.loads(json.dumps(described)) == described
