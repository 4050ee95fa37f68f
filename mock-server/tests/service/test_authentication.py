"""Keys and tokens: which ones open a service, and for how long."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from scoring_mock.http_types import SpecError
from scoring_mock.service.registry import Registry

KEYED = ["aci-v1", "aks-v1", "k8s-v2", "managed-v2"]
WITH_TOKENS = ["aks-v1", "k8s-v2", "managed-v2"]


def bearer(call: Any, credential: str) -> int:
    status: int = call(headers=[("authorization", f"Bearer {credential}")], key=None).status
    return status


@pytest.mark.parametrize("profile", KEYED)
def test_both_keys_open_and_nothing_else_does(make: Callable[..., Any], profile: str) -> None:  # W22 W23
    call = make(profile=profile, auth="key", primary_key="p" * 32, secondary_key="s" * 32)
    assert [call(key="primary").status, call(key="secondary").status] == [200, 200]
    refused = call(key="x" * 32)
    assert (refused.status, refused.source) == (401, "auth")  # W24 W25
    assert call(key=None).status == 401


@pytest.mark.parametrize(
    "header",
    [
        "{key}",
        "Basic {key}",
        "bearer {key}",
        "BEARER {key}",
        "Bearer  {key}",
        "Bearer{key}",
        "Bearer",
        "Bearer ",
        "Token {key}",
        "Bearer {key} ",
        "Bearer {key},Bearer {key}",
        "",
    ],
)
def test_only_one_spelling_of_the_header_opens(make: Callable[..., Any], header: str) -> None:  # W22
    call = make(profile="aks-v1", primary_key="k" * 32)
    assert call(headers=[("authorization", header.format(key="k" * 32))], key=None).status == 401
    assert bearer(call, "k" * 32) == 200


def test_two_headers_do_not_open(make: Callable[..., Any]) -> None:
    call = make(profile="aks-v1", primary_key="k" * 32)
    twice = [("authorization", f"Bearer {'k' * 32}")] * 2
    assert call(headers=twice, key=None).status == 401


def test_a_key_of_another_service_does_not_open(make: Callable[..., Any]) -> None:
    one, other = make(profile="aks-v1"), make(profile="aks-v1")
    assert bearer(one, other.service.keys.primary) == 401


@pytest.mark.parametrize("which", ["primary", "secondary"])
def test_a_regenerated_key_replaces_the_old_one_at_once(
    make: Callable[..., Any], registry: Registry, which: str
) -> None:  # W23
    call = make(profile="managed-v2")
    old = {"primary": call.service.keys.primary, "secondary": call.service.keys.secondary}
    result = registry.act(call.service.name, {"act": "regenerate", "key": which})
    other = "secondary" if which == "primary" else "primary"
    assert result[f"{which}_key"] != old[which]
    assert result[f"{other}_key"] == old[other]
    assert bearer(call, old[which]) == 401
    assert [bearer(call, result[f"{name}_key"]) for name in ("primary", "secondary")] == [200, 200]


def test_a_key_may_be_chosen(make: Callable[..., Any], registry: Registry) -> None:
    call = make(profile="aks-v1")
    registry.act(call.service.name, {"act": "regenerate", "key": "primary", "value": "mine"})
    assert bearer(call, "mine") == 200


def test_keys_are_random_and_long(make: Callable[..., Any]) -> None:
    pairs = [make(profile="aks-v1").service.keys for _ in range(20)]
    keys = {key for pair in pairs for key in (pair.primary, pair.secondary)}
    assert len(keys) == 40
    assert {len(key) for key in keys} == {32}


@pytest.mark.parametrize("profile", WITH_TOKENS)
def test_tokens_open_until_they_expire(make: Callable[..., Any], registry: Registry, profile: str) -> None:
    call = make(profile=profile, auth="token", token_refresh_seconds=600, token_lifetime_seconds=1200)
    token = registry.act(call.service.name, {"act": "issue-token"})
    assert (token["token_type"], token["expires"] - token["refresh_by"]) == ("Bearer", 600)
    assert isinstance(token["refresh_by"], int)  # W36
    assert bearer(call, token["token"]) == 200
    for seconds, status in ((601, 200), (598, 200), (2, 401), (-3, 200)):
        registry.act(call.service.name, {"act": "move-clock", "seconds": seconds})
        assert bearer(call, token["token"]) == status


def test_tokens_live_a_day_by_default_and_are_to_be_renewed_after_half_of_it(make: Callable[..., Any]) -> None:
    service = make(profile="aks-v1", auth="token").service
    token = service.issue_token()
    assert token.expires - token.refresh_by == 12 * 3600
    assert abs(token.refresh_by - service.clock.now() - 12 * 3600) < 60


def test_a_token_looks_like_a_jwt_of_one_to_two_kilobytes(make: Callable[..., Any]) -> None:
    service = make(profile="aks-v1", auth="token").service
    token = service.issue_token()
    header, claims, signature = token.text.split(".")
    assert json.loads(base64.urlsafe_b64decode(header + "==")) == {"alg": "HS256", "typ": "JWT"}
    decoded = json.loads(base64.urlsafe_b64decode(claims + "=="))
    assert (decoded["aud"], decoded["exp"]) == (service.name, token.expires)
    assert len(base64.urlsafe_b64decode(signature + "=")) == 32
    assert 1000 <= len(token.text) <= 2000
    assert service.issue_token().text != token.text


@pytest.mark.parametrize("at", [0, 40, 500, -1])
def test_an_altered_token_is_refused(make: Callable[..., Any], at: int) -> None:
    call = make(profile="aks-v1", auth="token")
    token = call.service.issue_token().text
    letters = list(token)
    letters[at] = "A" if letters[at] != "A" else "B"
    assert bearer(call, "".join(letters)) == 401
    assert bearer(call, token) == 200


def test_other_tokens_and_keys_are_refused(make: Callable[..., Any]) -> None:
    call, other = make(profile="aks-v1", auth="token"), make(profile="aks-v1", auth="token")
    assert bearer(call, other.service.issue_token().text) == 401
    assert bearer(call, call.service.keys.primary) == 401
    assert call(key=None).status == 401
    keyed = make(profile="aks-v1")
    assert bearer(keyed, call.service.issue_token().text) == 401


def test_all_tokens_can_be_expired(make: Callable[..., Any], registry: Registry) -> None:
    call = make(profile="managed-v2", auth="token")
    tokens = [call.service.issue_token().text for _ in range(3)]
    assert registry.act(call.service.name, {"act": "expire-tokens"}) == {"expired": 3}
    assert [bearer(call, token) for token in tokens] == [401] * 3
    assert bearer(call, call.service.issue_token().text) == 200


def test_authentication_can_be_changed(make: Callable[..., Any], registry: Registry) -> None:
    call = make(profile="aks-v1")
    keys = {"primary_key": call.service.keys.primary, "secondary_key": call.service.keys.secondary}
    name = call.service.name
    assert registry.act(name, {"act": "set-auth", "auth": "token"}) == {"auth": "token"}
    assert bearer(call, keys["primary_key"]) == 401
    assert registry.act(name, {"act": "set-auth", "auth": "off"}) == {"auth": "off"}
    assert call(key=None).status == 200
    assert registry.act(name, {"act": "set-auth", "auth": "key"}) == {"auth": "key", **keys}
    assert bearer(call, keys["primary_key"]) == 200


@pytest.mark.parametrize(
    ("spec", "act", "message"),
    [
        ({}, {"act": "explode"}, "act.act must be one of regenerate, issue-token"),
        ({}, "regenerate", "act.act must be one of"),
        ({}, {"act": "regenerate", "key": "third"}, "act.key must be one of primary, secondary"),
        ({}, {"act": "regenerate", "key": "primary", "value": "a b"}, "act.value must be 1 to 1024 printable"),
        ({}, {"act": "regenerate", "key": "primary", "nope": 1}, "act has an unknown member 'nope'"),
        ({"auth": "off"}, {"act": "regenerate", "key": "primary"}, "has authentication off, not key"),
        ({}, {"act": "issue-token"}, "has authentication key, not token"),
        ({}, {"act": "move-clock", "seconds": "1"}, "act.seconds must be a number"),
        ({}, {"act": "move-clock", "seconds": float("nan")}, "act.seconds must be a number"),
        ({}, {"act": "set-auth", "auth": "magic"}, "act.auth must be one of off, key, token"),
        ({}, {"act": "set-condition", "condition": "rate-limited"}, "act.condition must be one of those"),
        ({}, {"act": "set-deployments", "deployments": {"a": 100}}, "the profile aks-v1 has no deployments"),
        ({}, {"act": "add-replies", "replies": [], "to": "nowhere"}, "act.to must be one of score, swagger, health"),
        ({}, {"act": "add-replies"}, "act.replies must be a list"),
    ],
)
def test_bad_acts_get_one_clear_sentence(
    make: Callable[..., Any], registry: Registry, spec: dict[str, Any], act: object, message: str
) -> None:
    name = make(**spec).service.name
    with pytest.raises(SpecError) as caught:
        registry.act(name, act)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
