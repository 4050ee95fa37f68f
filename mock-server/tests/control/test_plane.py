"""Who may call the control plane, how it is found, and that nothing makes it fall over."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import HOST, V1, V2, VERSION, WORKSPACE, Control

V1_SERVICES = f"{V1}/services"
V2_ENDPOINTS = f"{V2}{VERSION}"


@pytest.mark.parametrize("authorization", [None, "", "Basic abc", "Bearer", "Bearer ", "bearer"])
def test_v1_without_a_bearer_token_is_the_recorded_401(control: Control, authorization: str | None) -> None:
    reply = control("GET", V1_SERVICES, authorization=authorization)
    assert reply.status == 401
    assert reply.json == {
        "code": "Unauthorized",
        "statusCode": 401,
        "message": "Unauthorized",
        "details": [
            {
                "code": "EmptyOrInvalidToken",
                "message": "Invalid Authorization header. Please make sure sure your are using Bearer authentication "
                "and passing the correct key.",
            }
        ],
    }


@pytest.mark.parametrize(
    ("authorization", "code"),
    [(None, "AuthenticationFailed"), ("Basic abc", "AuthenticationFailedInvalidHeader")],
)
def test_v2_without_a_bearer_token_is_401_with_a_challenge(
    control: Control, authorization: str | None, code: str
) -> None:
    reply = control("GET", V2_ENDPOINTS, authorization=authorization)
    assert (reply.status, reply.json["error"]["code"]) == (401, code)
    assert reply.headers["www-authenticate"].startswith("Bearer authorization_uri=")


@pytest.mark.parametrize("authorization", ["Bearer x", "bearer x", "BEARER x"])
def test_any_bearer_token_will_do(control: Control, authorization: str) -> None:
    assert control("GET", V1_SERVICES, authorization=authorization).status == 200
    assert control("GET", V2_ENDPOINTS, authorization=authorization).status == 200


def test_a_call_without_a_token_is_refused_before_its_body(control: Control) -> None:
    refused = control.plane.handle_head(control.request("POST", V1_SERVICES, authorization=None))
    assert refused is not None
    assert (refused.status, refused.close) == (401, True)
    assert control.plane.handle_head(control.request("POST", V1_SERVICES)) is None
    assert control.plane.handle_head(control.request("GET", "/discovery", authorization=None)) is None


def test_the_way_here_needs_no_token(control: Control) -> None:
    (cloud,) = control("GET", "/metadata/endpoints?api-version=2022-09-01", authorization=None).json
    assert (cloud["name"], cloud["resourceManager"]) == ("ScoringMock", f"https://{HOST}")
    # Both SDKs read these, and fail without them.
    assert cloud["authentication"]["loginEndpoint"]
    assert cloud["authentication"]["audiences"]
    assert cloud["portal"]
    assert cloud["suffixes"]["storage"]
    urls = control("GET", "/discovery", authorization=None).json
    assert set(urls) >= {"api", "experimentation", "history", "hyperdrive", "modelmanagement", "studio"}
    assert set(urls.values()) == {f"https://{HOST}"}


def test_the_workspace_says_where_discovery_is(control: Control) -> None:
    workspace = control("GET", WORKSPACE.arm_id + VERSION).json
    assert workspace["properties"]["discoveryUrl"] == f"https://{HOST}/discovery"
    assert (workspace["id"], workspace["location"]) == (WORKSPACE.arm_id, "eastus")
    (subscription,) = control("GET", "/subscriptions" + VERSION).json["value"]
    assert subscription["subscriptionId"] == WORKSPACE.subscription_id


@pytest.mark.parametrize(
    ("target", "code"),
    [
        (V2.replace(WORKSPACE.subscription_id, "other"), "SubscriptionNotFound"),
        (V2.replace("/resourceGroups/scoring-mock", "/resourceGroups/other"), "ResourceGroupNotFound"),
        (V2.replace("/workspaces/scoring-mock", "/workspaces/other"), "ResourceNotFound"),
        (f"{V2}/missing", "ResourceNotFound"),
        ("/elsewhere", "NotFound"),
        ("/", "NotFound"),
    ],
)
def test_what_does_not_exist_in_v2(control: Control, target: str, code: str) -> None:
    reply = control("GET", target + VERSION)
    assert (reply.status, reply.json["error"]["code"]) == (404, code)
    assert set(reply.json) == {"error"}


def test_arm_wants_an_api_version(control: Control) -> None:
    reply = control("GET", V2)
    assert (reply.status, reply.json["error"]["code"]) == (400, "MissingApiVersionParameter")


@pytest.mark.parametrize(
    "target",
    [
        f"{V1}/services/missing",
        f"{V1}/nothing",
        V1,
        V1.replace(WORKSPACE.subscription_id, "other") + "/services",
        "/modelmanagement/v2.0/services",
    ],
)
def test_what_does_not_exist_in_v1(control: Control, target: str) -> None:
    reply = control("GET", target)
    assert reply.status == 404
    assert reply.json["statusCode"] == 404
    assert {"code", "message"} <= set(reply.json)


def test_paths_match_in_any_case_and_in_absolute_form(control: Control) -> None:
    assert control("GET", V1_SERVICES.upper()).status == 200
    assert control("GET", V2.lower() + VERSION).status == 200
    assert control("GET", f"https://{HOST}{V1_SERVICES}").status == 200


def test_a_wrong_method_is_405_in_the_envelope_of_its_api(control: Control) -> None:
    assert control("PATCH", V1_SERVICES).json["statusCode"] == 405
    assert control("DELETE", V2_ENDPOINTS).status == 405
    assert control("POST", "/discovery", authorization=None).status == 405


def test_head_has_no_body(control: Control) -> None:
    response = control.plane.handle(control.request("HEAD", V1_SERVICES))
    assert (response.body, response.chunks) == (b"", None)


def test_no_page_of_the_web_may_read_a_reply(control: Control) -> None:
    for target in (V1_SERVICES, V2_ENDPOINTS, "/discovery"):
        for method in ("GET", "OPTIONS"):
            reply = control(method, target, headers=[("origin", "https://page.test")])
            assert not [name for name in reply.headers if name.startswith("access-control-")]
    assert control("OPTIONS", V1_SERVICES, authorization=None).status == 401


def test_client_request_ids_are_echoed_by_v1(control: Control) -> None:
    reply = control("GET", V1_SERVICES, headers=[("x-ms-client-request-id", "abc"), ("x-ms-client-session-id", "s1")])
    assert (reply.headers["x-ms-client-request-id"], reply.headers["x-ms-client-session-id"]) == ("abc", "s1")


def test_a_service_that_gets_no_socket_is_500(control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_socket(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(control.registry, "create", no_socket)
    reply = control("POST", V1_SERVICES, {"name": "fresh", "computeType": "ACI"})
    assert (reply.status, reply.json["code"], reply.json["statusCode"]) == (500, "InternalServerError", 500)
    reply = control("PUT", f"{V2}/fresh{VERSION}", {"properties": {"authMode": "Key"}})
    assert (reply.status, reply.json["error"]["code"]) == (500, "InternalServerError")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3),
    max_leaves=6,
)
MEMBERS = st.sampled_from(
    [
        *("name", "computeType", "authEnabled", "aadAuthEnabled", "keys", "kvTags", "tags", "properties", "imageId"),
        *("environmentImageRequest", "overwrite", "description", "numReplicas", "containerResourceRequirements"),
        *("createRequest", "type", "keyType", "keyValue", "count", "skipToken", "orderby", "identity", "authMode"),
        *("traffic", "mirrorTraffic", "compute", "publicNetworkAccess", "op", "path", "value", "sku"),
    ]
)
GOOD_VALUES = st.sampled_from(
    ["AKS", "ACI", "Key", "AMLToken", "Create", "fresh", "Primary", True, False, "add", "/kvTags"]
)
BODIES = st.dictionaries(MEMBERS, GOOD_VALUES | JSON, max_size=5)
WISHES = BODIES | st.builds(lambda body, inner: body | {"properties": inner, "createRequest": inner}, BODIES, BODIES)
TARGETS = st.sampled_from(
    [
        *((method, f"{V1}/{path}") for method, path in (
            ("POST", "services"),
            ("POST", "services/list"),
            ("POST", "services/validate"),
            ("PATCH", "services/v1-key"),
            ("POST", "services/v1-key/regenerateKeys"),
        )),
        *((method, f"{V2}{path}{VERSION}") for method, path in (
            ("PUT", "/v2-key"),
            ("PUT", "/fresh"),
            ("PATCH", "/v2-key"),
            ("POST", "/v2-key/regenerateKeys"),
            ("PUT", "/v2-key/deployments/green"),
        )),
    ]
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(target=TARGETS, body=WISHES | st.lists(WISHES, max_size=3) | JSON, garbage=st.binary(max_size=20) | st.none())
def test_no_body_makes_it_fall_over(target: tuple[str, str], body: Any, garbage: bytes | None) -> None:
    control = Control()
    control.create({"name": "v1-key"}, {"name": "v2-key", "profile": "managed-v2"})
    reply = control(*target, raw=json.dumps(body).encode() if garbage is None else garbage)
    assert reply.status in (200, 201, 202, 400, 409)
    # Whatever it did, every service can still be shown.
    assert control("GET", f"{V1}/services?expand=true").status == 200
    assert control("GET", V2_ENDPOINTS).status == 200
    assert control("GET", f"{V2}/v2-key/deployments{VERSION}").status == 200


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=30))
def test_no_query_makes_it_fall_over(text: str) -> None:
    control = Control()
    control.create({"name": "v1-key"}, {"name": "v2-key", "profile": "managed-v2"})
    for name in ("count", "$skipToken", "orderby", "tags", "computeType", "name"):
        assert control("GET", f"{V1}/services?{name}={text}").status in (200, 400)
    for name in ("count", "$skip", "tags", "name"):
        assert control("GET", f"{V2_ENDPOINTS}&{name}={text}").status in (200, 400)
