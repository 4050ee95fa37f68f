"""The v2 API: online endpoints, their keys, tokens, traffic, and long-running operations (W35)."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import V2, VERSION, WORKSPACE, Control, Reply, local

KEY: dict[str, Any] = {"location": "eastus", "properties": {"authMode": "Key"}}


def get(control: Control, name: str) -> dict[str, Any]:
    reply = control("GET", f"{V2}/{name}{VERSION}")
    assert reply.status == 200
    endpoint: dict[str, Any] = reply.json
    return endpoint


def finish_async(control: Control, reply: Reply) -> None:
    """See an `Azure-AsyncOperation` run, and succeed."""
    assert int(reply.headers["retry-after"]) > 0  # with 0 the SDK waits 30 s
    operation = local(reply.headers["azure-asyncoperation"])
    assert control("GET", operation).json["status"] == "InProgress"
    control.time += 5
    assert control("GET", operation).json["status"] == "Succeeded"


def finish_location(control: Control, reply: Reply) -> None:
    """See a `Location` answer 202 while it runs, and then not."""
    assert (reply.status, reply.json) == (202, None)
    assert int(reply.headers["retry-after"]) > 0
    location = local(reply.headers["location"])
    assert control("GET", location).status == 202
    control.time += 5
    assert control("GET", location).status in (200, 204)


# -- reading --------------------------------------------------------------------------------------------------------


def test_a_managed_endpoint(control: Control) -> None:
    control.create(
        {"name": "mine", "profile": "managed-v2", "tags": {"a": "b"}, "deployments": {"blue": 90, "green": 10}}
    )
    endpoint = get(control, "mine")
    assert endpoint["id"] == f"{WORKSPACE.arm_id}/onlineEndpoints/mine"
    assert (endpoint["kind"], endpoint["tags"], endpoint["location"]) == ("Managed", {"a": "b"}, "eastus")
    properties = endpoint["properties"]
    assert properties["scoringUri"] == "https://mine.test:8443/score"
    assert properties["swaggerUri"] == "https://mine.test:8443/swagger.json"
    assert (properties["authMode"], properties["provisioningState"]) == ("Key", "Succeeded")
    assert properties["traffic"] == {"blue": 90, "green": 10}
    assert properties["keys"] is None  # always null: keys come from listKeys
    assert "compute" not in properties  # the SDK takes it for one on Kubernetes otherwise


def test_an_endpoint_on_kubernetes(control: Control) -> None:
    control.create({"name": "kube", "profile": "k8s-v2"})
    properties = get(control, "kube")["properties"]
    assert properties["compute"].startswith(f"{WORKSPACE.arm_id}/computes/")
    assert properties["scoringUri"] == "http://shared.test:80/api/v1/endpoint/kube/score"
    assert properties["traffic"] == {"blue": 100}


@pytest.mark.parametrize(("auth", "mode"), [("key", "Key"), ("token", "AMLToken"), ("off", "Key")])
def test_auth_modes(control: Control, auth: str, mode: str) -> None:
    control.create({"name": "it", "profile": "managed-v2", "auth": auth})
    assert get(control, "it")["properties"]["authMode"] == mode


def test_services_of_v1_are_not_in_v2(control: Control) -> None:
    control.create({"name": "old"}, {"name": "new", "profile": "managed-v2"}, {"name": "here", "profile": "container"})
    assert [item["name"] for item in control("GET", V2 + VERSION).json["value"]] == ["new"]
    assert control("GET", f"{V2}/old{VERSION}").status == 404


def test_a_missing_endpoint_in_the_words_of_arm(control: Control) -> None:
    reply = control("GET", f"{V2}/missing{VERSION}")
    assert reply.status == 404
    assert reply.json == {
        "error": {
            "code": "ResourceNotFound",
            "message": "The Resource "
            "'Microsoft.MachineLearningServices/workspaces/scoring-mock/onlineEndpoints/missing' "
            "under resource group 'scoring-mock' was not found. For more details please go to "
            "https://aka.ms/ARMResourceNotFoundFix",
        }
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["one", "two", "kube"]),
        ("&tags=team", ["one", "two"]),
        ("&tags=team=b", ["two"]),
        ("&properties=p=1", ["kube"]),
        ("&computeType=Kubernetes", ["kube"]),
        ("&computeType=managed", ["one", "two"]),
        ("&name=one", ["one"]),
    ],
)
def test_lists_and_filters(control: Control, query: str, expected: list[str]) -> None:
    control.create(
        {"name": "one", "profile": "managed-v2", "tags": {"team": "a"}},
        {"name": "two", "profile": "managed-v2", "tags": {"team": "b"}},
        {"name": "kube", "profile": "k8s-v2", "properties": {"p": "1"}},
    )
    assert [item["name"] for item in control("GET", V2 + VERSION + query).json["value"]] == expected


def test_pages_lead_to_each_other() -> None:
    control = Control(page_size=2)
    control.create(*({"name": f"e{number}", "profile": "managed-v2"} for number in range(5)))
    target: str | None = V2 + VERSION
    seen, pages = [], 0
    while target is not None:
        page = control("GET", target).json
        seen += [item["name"] for item in page["value"]]
        pages += 1
        target = local(page["nextLink"]) if page.get("nextLink") else None
    assert (seen, pages) == ([f"e{number}" for number in range(5)], 3)


def test_deployments(control: Control) -> None:
    control.create({"name": "it", "profile": "managed-v2", "deployments": {"blue": 100, "green": 0}})
    listed = control("GET", f"{V2}/it/deployments{VERSION}").json["value"]
    assert [item["name"] for item in listed] == ["blue", "green"]
    one = control("GET", f"{V2}/it/deployments/green{VERSION}").json
    assert one == listed[1]
    assert one["id"] == f"{WORKSPACE.arm_id}/onlineEndpoints/it/deployments/green"
    assert (one["properties"]["endpointComputeType"], one["sku"]["capacity"]) == ("Managed", 1)
    assert control("GET", f"{V2}/it/deployments/red{VERSION}").status == 404


# -- keys and tokens ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["listKeys", "listkeys"])  # the SDK's, and the documentation's
def test_keys(control: Control, spelling: str) -> None:
    (service,) = control.create({"name": "it", "profile": "managed-v2"})
    keys = control("POST", f"{V2}/it/{spelling}{VERSION}").json
    assert keys == {"primaryKey": service.keys.primary, "secondaryKey": service.keys.secondary}


@pytest.mark.parametrize(("kind", "changed"), [("Primary", "primaryKey"), ("Secondary", "secondaryKey")])
def test_regenerating_with_the_key_in_force_as_the_sdk_does(control: Control, kind: str, changed: str) -> None:
    (service,) = control.create({"name": "it", "profile": "managed-v2"})
    before = control("POST", f"{V2}/it/listKeys{VERSION}").json
    body = {"keyType": kind, "keyValue": before[changed]}
    finish_location(control, control("POST", f"{V2}/it/regenerateKeys{VERSION}", body))
    after = control("POST", f"{V2}/it/listKeys{VERSION}").json
    assert {name for name in before if before[name] != after[name]} == {changed}
    assert control.score(service, f"Bearer {before[changed]}") == 401
    assert control.score(service, f"Bearer {after[changed]}") == 200


def test_a_key_can_be_chosen(control: Control) -> None:
    (service,) = control.create({"name": "it", "profile": "k8s-v2"})
    body = {"keyType": "Primary", "keyValue": "chosen"}
    finish_location(control, control("POST", f"{V2}/it/regenerateKeys{VERSION}", body))
    assert service.keys.primary == "chosen"


def test_a_token(control: Control) -> None:
    (service,) = control.create({"name": "it", "profile": "managed-v2", "auth": "token"})
    reply = control("POST", f"{V2}/it/token{VERSION}")
    assert reply.status == 200
    assert set(reply.json) == {"accessToken", "tokenType", "expiryTimeUtc", "refreshAfterTimeUtc"}
    assert type(reply.json["expiryTimeUtc"]) is int  # W36
    assert reply.json["expiryTimeUtc"] > reply.json["refreshAfterTimeUtc"] > service.clock.now()
    assert control.score(service, f"Bearer {reply.json['accessToken']}") == 200


@pytest.mark.parametrize(("auth", "action"), [("key", "token"), ("token", "listKeys"), ("token", "regenerateKeys")])
def test_credentials_of_another_kind_are_refused(control: Control, auth: str, action: str) -> None:
    control.create({"name": "it", "profile": "managed-v2", "auth": auth})
    reply = control("POST", f"{V2}/it/{action}{VERSION}", {"keyType": "Primary"})
    assert (reply.status, reply.json["error"]["code"]) == (400, "UserError")


# -- create, update, delete -----------------------------------------------------------------------------------------


def test_an_endpoint_is_made_and_answers_once_a_deployment_has_traffic(control: Control) -> None:
    reply = control("PUT", f"{V2}/fresh{VERSION}", KEY)
    assert (reply.status, reply.json["properties"]["provisioningState"]) == (201, "Creating")
    finish_async(control, reply)
    assert get(control, "fresh")["properties"]["provisioningState"] == "Succeeded"
    service = control.registry.get("fresh")
    assert service is not None
    bearer = f"Bearer {service.keys.primary}"
    assert control.score(service, bearer) == 404  # W30: no deployment

    body = {"location": "eastus", "properties": {"endpointComputeType": "Managed", "instanceType": "Standard_F2s_v2"}}
    reply = control("PUT", f"{V2}/fresh/deployments/blue{VERSION}", body)
    assert (reply.status, reply.json["properties"]["provisioningState"]) == (201, "Creating")
    finish_async(control, reply)
    shown = control("GET", f"{V2}/fresh/deployments/blue{VERSION}").json["properties"]
    assert (shown["instanceType"], shown["provisioningState"]) == ("Standard_F2s_v2", "Succeeded")
    assert control.score(service, bearer) == 404  # W30: no traffic

    body = {"location": "eastus", "properties": {"authMode": "Key", "traffic": {"blue": 100}}}
    reply = control("PUT", f"{V2}/fresh{VERSION}", body)
    assert (reply.status, reply.json["properties"]["provisioningState"]) == (200, "Updating")
    finish_async(control, reply)
    assert get(control, "fresh")["properties"]["traffic"] == {"blue": 100}
    assert control.score(service, bearer) == 200


@pytest.mark.parametrize(
    ("properties", "profile", "auth"),
    [
        ({"authMode": "Key"}, "managed-v2", "key"),
        ({"authMode": "AMLToken"}, "managed-v2", "token"),
        ({"authMode": "amltoken", "compute": "/subscriptions/x/computes/kube"}, "k8s-v2", "token"),
    ],
)
def test_what_an_endpoint_becomes(control: Control, properties: dict[str, Any], profile: str, auth: str) -> None:
    assert control("PUT", f"{V2}/fresh{VERSION}", {"properties": properties}).status == 201
    service = control.registry.get("fresh")
    assert service is not None
    assert (service.profile.name, service.auth) == (profile, auth)


def test_an_endpoint_keeps_what_it_was_given(control: Control) -> None:
    properties = {
        "authMode": "Key",
        "keys": {"primaryKey": "first", "secondaryKey": "second"},
        "description": "d",
        "properties": {"p": "1"},
        "publicNetworkAccess": "Disabled",
    }
    body = {"properties": properties, "tags": {"a": "b"}, "identity": {"type": "UserAssigned"}}
    assert control("PUT", f"{V2}/fresh{VERSION}", body).status == 201
    endpoint = get(control, "fresh")
    assert (endpoint["tags"], endpoint["identity"]["type"]) == ({"a": "b"}, "UserAssigned")
    shown = endpoint["properties"]
    assert (shown["description"], shown["properties"]["p"]) == ("d", "1")
    assert (shown["publicNetworkAccess"], shown["keys"]) == ("Disabled", None)
    keys = control("POST", f"{V2}/fresh/listKeys{VERSION}").json
    assert keys == {"primaryKey": "first", "secondaryKey": "second"}


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("ab", KEY),
        ("1fresh", KEY),
        ("f" * 33, KEY),
        ("fresh", {}),
        ("fresh", {"properties": {}}),
        ("fresh", {"properties": {"authMode": "AADToken"}}),
        ("fresh", {"properties": {"authMode": "Key", "traffic": {"blue": 100}}}),
        ("fresh", {"properties": {"authMode": "Key"}, "tags": {"a": 1}}),
        ("fresh", {"properties": {"authMode": "Key", "keys": {"primaryKey": "with blank"}}}),
        ("fresh", []),
    ],
)
def test_a_bad_wish_makes_nothing(control: Control, name: str, body: Any) -> None:
    reply = control("PUT", f"{V2}/{name}{VERSION}", body)
    assert (reply.status, reply.json["error"]["code"]) == (400, "UserError")
    assert reply.json["error"]["message"]
    assert list(control.registry) == []


@pytest.mark.parametrize("traffic", [{"blue": 50}, {"blue": 100, "red": 0}, {"blue": "all"}, {"blue": 101}])
def test_bad_traffic_changes_nothing(control: Control, traffic: dict[str, Any]) -> None:
    (service,) = control.create({"name": "it", "profile": "managed-v2", "deployments": {"blue": 100, "green": 0}})
    body = {"properties": {"authMode": "Key", "traffic": traffic}}
    assert control("PUT", f"{V2}/it{VERSION}", body).status == 400
    assert service.traffic is not None
    assert service.traffic.shares == {"blue": 100, "green": 0}


def test_deployments_that_traffic_does_not_name_get_none(control: Control) -> None:
    (service,) = control.create({"name": "it", "profile": "managed-v2", "deployments": {"blue": 100, "green": 0}})
    body = {"properties": {"authMode": "Key", "traffic": {"green": 100}}}
    assert control("PUT", f"{V2}/it{VERSION}", body).status == 200
    assert service.traffic is not None
    assert service.traffic.shares == {"blue": 0, "green": 100}


def test_a_name_of_v1_is_a_conflict(control: Control) -> None:
    control.create({"name": "taken"})
    reply = control("PUT", f"{V2}/taken{VERSION}", KEY)
    assert (reply.status, reply.json["error"]["code"]) == (409, "Conflict")


def test_tags_are_patched(control: Control) -> None:
    control.create({"name": "it", "profile": "managed-v2", "tags": {"old": "1"}})
    finish_location(control, control("PATCH", f"{V2}/it{VERSION}", {"tags": {"new": "2"}}))
    assert get(control, "it")["tags"] == {"new": "2"}


def test_a_deployment_with_traffic_cannot_be_deleted(control: Control) -> None:
    (service,) = control.create({"name": "it", "profile": "managed-v2", "deployments": {"blue": 100, "green": 0}})
    assert control("DELETE", f"{V2}/it/deployments/blue{VERSION}").status == 409
    finish_location(control, control("DELETE", f"{V2}/it/deployments/green{VERSION}"))
    assert service.traffic is not None
    assert service.traffic.shares == {"blue": 100}
    assert control("DELETE", f"{V2}/it/deployments/green{VERSION}").status == 204


def test_a_deleted_endpoint_is_gone(control: Control) -> None:
    control.create({"name": "it", "profile": "managed-v2"})
    finish_location(control, control("DELETE", f"{V2}/it{VERSION}"))
    assert control("GET", f"{V2}/it{VERSION}").status == 404
    assert control("DELETE", f"{V2}/it{VERSION}").status == 204
    assert control.registry.get("it") is None


def test_an_unknown_operation(control: Control) -> None:
    location = (
        f"/subscriptions/{WORKSPACE.subscription_id}/providers/Microsoft.MachineLearningServices/locations/eastus"
    )
    for place in ("mfeOperationsStatus", "mfeOperationResults"):
        assert control("GET", f"{location}/{place}/oeidp:x:unknown{VERSION}").status == 404
