"""Cross-origin headers of the container (W18) and what a managed endpoint makes of them (W19)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from scoring_mock.http_types import Response

ORIGIN = "https://www.example.com"
TWO = [ORIGIN, "https://b.example"]
PREFLIGHT = [("access-control-request-method", "POST")]


def cors(reply: Response) -> dict[str, str]:
    return {n: v for n, v in reply.headers if n.lower().startswith("access-control-") or n.lower() == "vary"}


def with_origin(origin: str, more: Sequence[tuple[str, str]] = ()) -> list[tuple[str, str]]:
    return [("origin", origin), *more]


def test_preflight_of_an_allowed_origin(make: Callable[..., Any]) -> None:
    asked = [*PREFLIGHT, ("access-control-request-headers", "authorization,content-type,azureml-model-deployment")]
    reply = make(profile="container", cors_origins=TWO)("OPTIONS", headers=with_origin(ORIGIN, asked))
    assert (reply.status, reply.body) == (200, b"")
    assert list(cors(reply).items()) == [
        ("Access-Control-Allow-Origin", ORIGIN),
        ("Access-Control-Allow-Headers", "authorization, azureml-model-deployment, content-type"),
        ("Access-Control-Allow-Methods", "GET, POST"),
        ("Vary", "Origin"),
    ]


def test_preflight_for_delete_names_no_methods(make: Callable[..., Any]) -> None:
    asked = with_origin(ORIGIN, [("access-control-request-method", "DELETE")])
    reply = make(profile="container", cors_origins=TWO)("OPTIONS", headers=asked)
    assert cors(reply) == {"Access-Control-Allow-Origin": ORIGIN, "Vary": "Origin"}


def test_another_origin_is_scored_all_the_same_but_gets_no_header(make: Callable[..., Any]) -> None:
    call = make(profile="container", cors_origins=TWO)
    for reply in (
        call(headers=with_origin("https://evil.example")),
        call("OPTIONS", headers=with_origin("https://evil.example", PREFLIGHT)),
        call(headers=with_origin("http://www.example.com")),
    ):
        assert (reply.status, cors(reply)) == (200, {})


@pytest.mark.parametrize(
    ("origins", "origin", "expected"),
    [
        (TWO, ORIGIN, {"Access-Control-Allow-Origin": ORIGIN, "Vary": "Origin"}),
        (TWO, None, {"Access-Control-Allow-Origin": "https://b.example", "Vary": "Origin"}),
        ([ORIGIN], ORIGIN, {"Access-Control-Allow-Origin": ORIGIN}),
        (["*"], ORIGIN, {"Access-Control-Allow-Origin": ORIGIN, "Vary": "Origin"}),
        (["*"], None, {"Access-Control-Allow-Origin": "*"}),
        ([], ORIGIN, {}),
    ],
)
def test_scoring(make: Callable[..., Any], origins: list[str], origin: str | None, expected: dict[str, str]) -> None:
    reply = make(profile="container", cors_origins=origins)(headers=with_origin(origin) if origin else [])
    assert cors(reply) == expected


def test_failures_of_the_script_have_the_headers_and_errors_of_the_router_have_not(make: Callable[..., Any]) -> None:
    call = make(profile="container", cors_origins=TWO, script="plain")
    assert cors(call(body={"mode": "raise"}, headers=with_origin(ORIGIN)))
    assert not cors(call("GET", "/nope", headers=with_origin(ORIGIN)))
    assert not cors(call("PUT", headers=with_origin(ORIGIN)))


def test_v1_passes_them_on_and_a_managed_endpoint_does_not(make: Callable[..., Any]) -> None:
    headers = with_origin(ORIGIN)
    assert cors(make(profile="aks-v1", cors_origins=TWO)(headers=headers))
    assert not cors(make(profile="managed-v2", cors_origins=TWO)(headers=headers))
    assert not cors(make(profile="managed-v2", cors_origins=TWO)("OPTIONS", headers=[*headers, *PREFLIGHT]))


@pytest.mark.parametrize("profile", ["aks-v1", "managed-v2"])
def test_a_preflight_has_no_credential_and_is_refused_where_one_is_asked_for(
    make: Callable[..., Any], profile: str
) -> None:
    asked = with_origin(ORIGIN, PREFLIGHT)
    reply = make(profile=profile, cors_origins=TWO)("OPTIONS", headers=asked, key=None)
    assert (reply.status, cors(reply)) == (401, {})
    assert make(profile=profile, auth="off", cors_origins=TWO)("OPTIONS", headers=asked).status == 200
