"""The v1 API: entities, lists, keys, tokens, deployments, updates (W35)."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from .conftest import V1, WORKSPACE, Control, Reply, local

AKS: dict[str, Any] = {"name": "fresh", "computeType": "AKS"}


def get(control: Control, name: str) -> dict[str, Any]:
    reply = control("GET", f"{V1}/services/{name}?expand=true")
    assert reply.status == 200
    entity: dict[str, Any] = reply.json
    return entity


def names(reply: Reply) -> list[str]:
    assert reply.status == 200
    return [service["name"] for service in reply.json["value"]]


def finish(control: Control, reply: Reply) -> None:
    """See an operation run, let its time go by, and see it succeed."""
    assert (reply.status, reply.json) == (202, None)
    operation = local(reply.headers["operation-location"])
    assert control("GET", operation).json["state"] == "Running"
    control.time += 5
    done = control("GET", operation).json
    assert (done["state"], done["error"]) == ("Succeeded", None)


# -- entities -------------------------------------------------------------------------------------------------------


def test_an_aks_service_has_the_fields_that_the_sdk_wants(control: Control) -> None:
    control.create({"name": "aks", "tags": {"team": "a"}, "properties": {"p": "1"}, "description": "d"})
    entity = get(control, "aks")
    wanted = {
        *("computeType", "createdTime", "description", "kvTags", "name", "properties", "appInsightsEnabled"),
        *("authEnabled", "autoScaler", "computeName", "containerResourceRequirements", "dataCollection"),
        *("maxConcurrentRequestsPerContainer", "maxQueueWaitMs", "numReplicas", "scoringTimeoutMs", "scoringUri"),
        *("livenessProbeRequirements", "aadAuthEnabled"),
    }
    assert wanted <= set(entity)
    assert "tokenAuthEnabled" not in entity  # W46
    assert set(entity["containerResourceRequirements"]) >= {"cpu", "cpuLimit", "memoryInGB", "memoryInGBLimit", "gpu"}
    assert (entity["computeType"], entity["state"], entity["error"]) == ("AKS", "Healthy", None)
    assert (entity["kvTags"], entity["properties"], entity["description"]) == ({"team": "a"}, {"p": "1"}, "d")
    assert entity["scoringUri"] == "http://shared.test:80/api/v1/service/aks/score"
    assert entity["swaggerUri"] == "http://shared.test:80/api/v1/service/aks/swagger.json"
    documented = (entity["scoringTimeoutMs"], entity["maxQueueWaitMs"], entity["maxConcurrentRequestsPerContainer"])
    assert documented == (60_000, 500, 1)


def test_an_aci_service_has_the_fields_that_the_sdk_wants(control: Control) -> None:
    control.create({"name": "aci", "profile": "aci-v1"})
    entity = get(control, "aci")
    wanted = {"cname", "location", "publicIp", "scoringUri", "sslCertificate", "sslEnabled", "sslKey", "publicFqdn"}
    assert wanted <= set(entity)
    assert "aadAuthEnabled" not in entity  # no tokens on ACI
    assert (entity["scoringUri"], entity["publicIp"]) == ("http://aci.test:8443/score", "aci.test")


@pytest.mark.parametrize(
    ("spec", "key", "token"),
    [
        ({"profile": "aks-v1"}, True, False),
        ({"profile": "aks-v1", "auth": "token"}, False, True),
        ({"profile": "aks-v1", "auth": "off"}, False, False),
        ({"profile": "aci-v1"}, False, None),
        ({"profile": "aci-v1", "auth": "key"}, True, None),
    ],
)
def test_the_two_flags_say_which_authentication(
    control: Control, spec: dict[str, Any], key: bool, token: bool | None
) -> None:
    control.create({"name": "it", **spec})
    entity = get(control, "it")
    assert (entity["authEnabled"], entity.get("aadAuthEnabled")) == (key, token)


def test_models_are_there_only_when_expanded(control: Control) -> None:
    control.create({"name": "it", "model_name": "ridge", "model_version": 3})
    assert [model["id"] for model in get(control, "it")["models"]] == ["ridge:3"]
    assert "models" not in control("GET", f"{V1}/services/it").json


def test_keys_and_tokens_are_in_no_entity(control: Control) -> None:
    service, other = control.create({"name": "keys"}, {"name": "tokens", "auth": "token"})
    token = other.issue_token()
    text = control("GET", f"{V1}/services?expand=true").text
    assert not [secret for secret in (service.keys.primary, service.keys.secondary, token.text) if secret in text]


def test_services_of_v2_are_not_in_v1(control: Control) -> None:
    control.create({"name": "old"}, {"name": "new", "profile": "managed-v2"}, {"name": "here", "profile": "container"})
    assert names(control("GET", f"{V1}/services")) == ["old"]
    assert control("GET", f"{V1}/services/new").status == 404


# -- lists ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def three(control: Control) -> Control:
    control.create(
        {"name": "one", "tags": {"team": "a"}, "model_name": "ridge", "image_name": "img"},
        {"name": "two", "tags": {"team": "b", "env": "test"}, "properties": {"hash": "1=2"}},
        {"name": "three", "profile": "aci-v1", "tags": {"env": "prod"}, "model_name": "ridge", "model_version": 2},
    )
    return control


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["three", "two", "one"]),
        ("expand=true", ["three", "two", "one"]),
        ("computeType=AKS", ["two", "one"]),
        ("computeType=aci", ["three"]),
        ("computeType=IOT", []),
        ("imageName=img", ["one"]),
        ("imageId=img:1", ["one"]),
        ("imageId=img", []),
        ("modelName=ridge", ["three", "one"]),
        ("modelId=ridge:2", ["three"]),
        ("modelId=ridge", []),
        ("tags=env", ["three", "two"]),
        ("tags=env=prod", ["three"]),
        ("tags=team,env", ["two"]),
        ("tags=team=b,env=test", ["two"]),
        ("tags=team=b,env=prod", []),
        ("tag=team", ["two", "one"]),
        ("properties=hash", ["two"]),
        ("properties=hash%3D1%3D2", ["two"]),
        ("name=two", ["two"]),
        ("runId=x", []),
        ("modelName=ridge&computeType=AKS", ["one"]),
        ("orderby=CreatedAtAsc", ["one", "two", "three"]),
        ("unknown=x", ["three", "two", "one"]),
    ],
)
def test_filters(three: Control, query: str, expected: list[str]) -> None:
    assert names(three("GET", f"{V1}/services?{query}")) == expected


def test_of_services_made_in_one_instant_the_last_is_the_newest(control: Control) -> None:
    for service in control.create({"name": "one"}, {"name": "two"}, {"name": "three"}):
        service.created = 1_700_000_000.0
    assert names(control("GET", f"{V1}/services")) == ["three", "two", "one"]
    assert names(control("GET", f"{V1}/services?orderby=CreatedAtAsc")) == ["one", "two", "three"]


def test_the_digest_of_an_image_is_a_filter_too(three: Control) -> None:
    digest = get(three, "one")["imageDigest"]
    assert digest.startswith("sha256:")
    assert names(three("GET", f"{V1}/services?imageDigest={digest}")) == ["one"]


def test_pages_lead_to_each_other_and_the_last_has_no_link() -> None:
    control = Control(page_size=3)
    control.create(*({"name": f"s{number}", "tags": {"even": str(number % 2 == 0)}} for number in range(8)))
    target: str | None = f"{V1}/services?expand=true&tags=even"
    seen, pages = [], 0
    while target is not None:
        reply = control("GET", target)
        seen += names(reply)
        pages += 1
        # The SDK looks whether the member is there, not whether it is null.
        target = local(reply.json["nextLink"]) if "nextLink" in reply.json else None
        assert all("models" in service for service in reply.json["value"]), "the link forgot expand=true"
    assert (seen, pages) == ([f"s{number}" for number in reversed(range(8))], 3)


def test_the_caller_chooses_the_size_of_a_page(three: Control) -> None:
    reply = three("GET", f"{V1}/services?count=2")
    assert names(reply) == ["three", "two"]
    assert names(three("GET", local(reply.json["nextLink"]))) == ["one"]


def test_a_list_can_be_asked_for_in_a_body(three: Control) -> None:
    reply = three("POST", f"{V1}/services/list", {"computeType": "AKS", "count": 1, "name": None})
    assert names(reply) == ["two"]
    following = three("POST", f"{V1}/services/list", reply.json["nextRequest"])
    assert names(following) == ["one"]
    assert "nextRequest" not in following.json


@pytest.mark.parametrize("query", ["count=0", "count=x", "count=1001", "$skipToken=!!", "orderby=Random"])
def test_bad_parameters_are_400(three: Control, query: str) -> None:
    reply = three("GET", f"{V1}/services?{query}")
    assert (reply.status, reply.json["code"]) == (400, "BadRequest")
    assert reply.json["details"][0]["message"]


# -- keys and tokens ------------------------------------------------------------------------------------------------


def test_the_keys_are_those_that_open_the_service(control: Control) -> None:
    (service,) = control.create({"name": "it"})
    keys = control("POST", f"{V1}/services/it/listkeys").json
    assert set(keys) == {"primaryKey", "secondaryKey"}
    assert [control.score(service, f"Bearer {key}") for key in keys.values()] == [200, 200]


@pytest.mark.parametrize(("kind", "changed"), [("Primary", "primaryKey"), ("Secondary", "secondaryKey")])
def test_a_regenerated_key_replaces_the_old_one(control: Control, kind: str, changed: str) -> None:
    (service,) = control.create({"name": "it"})
    before = control("POST", f"{V1}/services/it/listkeys").json
    finish(control, control("POST", f"{V1}/services/it/regenerateKeys", {"keyType": kind, "keyValue": None}))
    after = control("POST", f"{V1}/services/it/listkeys").json
    assert {name for name in before if before[name] != after[name]} == {changed}
    assert control.score(service, f"Bearer {before[changed]}") == 401
    assert control.score(service, f"Bearer {after[changed]}") == 200


def test_a_key_can_be_chosen(control: Control) -> None:
    (service,) = control.create({"name": "it"})
    body = {"keyType": "Secondary", "keyValue": "chosen-by-hand"}
    finish(control, control("POST", f"{V1}/services/it/regenerateKeys", body))
    assert service.keys.secondary == "chosen-by-hand"


@pytest.mark.parametrize("body", [{}, {"keyType": "Third"}, {"keyType": "Primary", "keyValue": "with blank"}, []])
def test_a_bad_wish_for_a_key_changes_nothing(control: Control, body: Any) -> None:
    (service,) = control.create({"name": "it"})
    before = (service.keys.primary, service.keys.secondary)
    assert control("POST", f"{V1}/services/it/regenerateKeys", body).status == 400
    assert (service.keys.primary, service.keys.secondary) == before


def test_a_token_has_the_four_members_and_opens_the_service(control: Control) -> None:
    (service,) = control.create({"name": "it", "auth": "token"})
    reply = control("POST", f"{V1}/services/it/token")
    assert reply.status == 201
    assert set(reply.json) == {"accessToken", "tokenType", "refreshAfter", "expiryOn"}
    assert reply.json["tokenType"] == "Bearer"
    assert type(reply.json["refreshAfter"]) is int  # W36
    assert type(reply.json["expiryOn"]) is int
    assert reply.json["expiryOn"] > reply.json["refreshAfter"] > service.clock.now()
    assert control.score(service, f"Bearer {reply.json['accessToken']}") == 200


@pytest.mark.parametrize(
    ("spec", "action"),
    [
        ({"auth": "key"}, "token"),
        ({"auth": "off"}, "token"),
        ({"profile": "aci-v1", "auth": "key"}, "token"),
        ({"auth": "token"}, "listkeys"),
        ({"auth": "off"}, "listkeys"),
        ({"auth": "token"}, "regenerateKeys"),
    ],
)
def test_credentials_of_another_kind_are_refused(control: Control, spec: dict[str, Any], action: str) -> None:
    control.create({"name": "it", **spec})
    reply = control("POST", f"{V1}/services/it/{action}", {"keyType": "Primary"})
    assert (reply.status, reply.json["details"][0]["code"]) == (400, "AuthNotEnabled")


# -- create, update, delete -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "auth"),
    [
        # The article's table of defaults.
        ({"computeType": "AKS"}, "key"),
        ({"computeType": "ACI"}, "off"),
        ({"computeType": "AKS", "authEnabled": False}, "off"),
        ({"computeType": "AKS", "authEnabled": False, "aadAuthEnabled": True}, "token"),
        ({"computeType": "AKS", "aadAuthEnabled": True}, "token"),
        ({"computeType": "ACI", "authEnabled": True}, "key"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_deployment_has_the_authentication_it_asked_for(
    control: Control, body: dict[str, Any], auth: str, method: str
) -> None:
    reply = control(method, f"{V1}/services", {"name": "fresh", **body})
    assert get(control, "fresh")["state"] == "Transitioning"
    finish(control, reply)
    service = control.registry.get("fresh")
    assert service is not None
    assert service.auth == auth
    assert get(control, "fresh")["state"] == "Healthy"


@pytest.mark.parametrize(
    "body",
    [
        {"computeType": "AKS"},
        {"name": "fresh"},
        {"name": "fresh", "computeType": "IOT"},
        {"name": "ab", "computeType": "AKS"},
        {"name": "Fresh", "computeType": "AKS"},
        {"name": "1fresh", "computeType": "AKS"},
        {"name": "fresh-", "computeType": "AKS"},
        {"name": "f" * 33, "computeType": "AKS"},
        AKS | {"authEnabled": True, "aadAuthEnabled": True},
        AKS | {"authEnabled": "yes"},
        AKS | {"kvTags": {"a": 1}},
        AKS | {"keys": {"primaryKey": "with blank"}},
        AKS | {"environmentImageRequest": {"modelIds": ["m:99999999999"]}},
        {"name": "fresh", "computeType": "ACI", "aadAuthEnabled": True},  # no tokens on ACI
        [],
        "fresh",
    ],
)
def test_a_bad_deployment_makes_nothing(control: Control, body: Any) -> None:
    reply = control("POST", f"{V1}/services", body)
    assert (reply.status, reply.json["code"]) == (400, "BadRequest")
    assert list(control.registry) == []


def test_a_deployment_keeps_what_it_was_given(control: Control) -> None:
    body = AKS | {
        "kvTags": {"team": "a"},
        "properties": {"p": "1"},
        "description": "d",
        "keys": {"primaryKey": "first", "secondaryKey": "second"},
        "environmentImageRequest": {"modelIds": ["ridge:7"]},
        "numReplicas": 3,
        "autoScaler": None,
        "containerResourceRequirements": {"cpu": 2.5, "memoryInGB": None},
        "scoringTimeoutMs": 1234,
    }
    finish(control, control("POST", f"{V1}/services", body))
    entity = get(control, "fresh")
    assert (entity["kvTags"], entity["properties"], entity["description"]) == ({"team": "a"}, {"p": "1"}, "d")
    assert (entity["numReplicas"], entity["scoringTimeoutMs"]) == (3, 1234)
    resources = entity["containerResourceRequirements"]
    assert (resources["cpu"], resources["memoryInGB"]) == (2.5, 0.5)
    assert entity["autoScaler"]["autoscaleEnabled"] is False
    assert [model["id"] for model in entity["models"]] == ["ridge:7"]
    keys = control("POST", f"{V1}/services/fresh/listkeys").json
    assert keys == {"primaryKey": "first", "secondaryKey": "second"}


def test_a_name_that_is_taken_is_a_conflict_unless_overwritten(control: Control) -> None:
    (old,) = control.create({"name": "fresh"})
    reply = control("POST", f"{V1}/services", AKS)
    assert reply.status == 409
    assert (reply.json["code"], reply.json["message"]) == ("Conflict", "Conflict")
    assert reply.json["details"][0]["code"] == "ServiceExists"
    finish(control, control("POST", f"{V1}/services", AKS | {"overwrite": True}))
    new = control.registry.get("fresh")
    assert new is not None
    assert new is not old
    assert new.keys.primary != old.keys.primary


def test_an_endpoint_of_v2_is_never_overwritten(control: Control) -> None:
    (endpoint,) = control.create({"name": "fresh", "profile": "managed-v2"})
    assert control("POST", f"{V1}/services", AKS | {"overwrite": True}).status == 409
    assert control.registry.get("fresh") is endpoint


def test_a_bad_overwrite_leaves_the_old_service(control: Control) -> None:
    (old,) = control.create({"name": "fresh"})
    body = AKS | {"overwrite": True, "environmentImageRequest": {"modelIds": ["m:99999999999"]}}
    assert control("POST", f"{V1}/services", body).status == 400
    assert control.registry.get("fresh") is old


def test_checks_before_a_deployment(control: Control) -> None:
    control.create({"name": "taken"})
    check = {"type": "Create", "serviceName": "x", "updateRequest": None}
    assert control("POST", f"{V1}/services/validate", check | {"createRequest": AKS}).json == {}
    assert control("POST", f"{V1}/services/validate/name/fresh", {}).json == {}
    assert control("POST", f"{V1}/services/validate/resource", AKS).json == {}
    for reply in (
        control("POST", f"{V1}/services/validate", check | {"createRequest": AKS | {"name": "taken"}}),
        control("POST", f"{V1}/services/validate", check | {"createRequest": AKS | {"name": "x"}}),
        control("POST", f"{V1}/services/validate/name/taken", {}),
    ):
        assert reply.status == 200
        assert reply.json["error"]["message"]


def replace(path: str, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": path, "value": value}


@pytest.mark.parametrize(
    ("before", "patch", "after"),
    [
        ("key", [replace("/authEnabled", False)], "off"),
        ("off", [replace("/authEnabled", True)], "key"),
        ("key", [replace("/authEnabled", False), replace("/aadAuthEnabled", True)], "token"),
        ("token", [replace("/aadAuthEnabled", False), replace("/authEnabled", True)], "key"),
        ("token", [replace("/aadAuthEnabled", False)], "off"),
    ],
)
def test_an_update_changes_the_authentication(control: Control, before: str, patch: list[Any], after: str) -> None:
    (service,) = control.create({"name": "it", "auth": before})
    finish(control, control("PATCH", f"{V1}/services/it", patch))
    assert service.auth == after
    assert control.score(service, None) == (200 if after == "off" else 401)
    entity = get(control, "it")
    assert (entity["authEnabled"], entity["aadAuthEnabled"]) == (after == "key", after == "token")


@pytest.mark.parametrize(
    ("profile", "patch"),
    [
        ("aks-v1", [replace("/aadAuthEnabled", True)]),  # beside the key: they exclude each other
        ("aci-v1", [{"op": "add", "path": "/aadAuthEnabled", "value": True}]),  # no tokens on ACI
        ("aci-v1", [replace("/aadAuthEnabled", True)]),
        ("aks-v1", [replace("/authEnabled", "no")]),
        ("aks-v1", [{"op": "remove", "path": "/authEnabled"}]),
        ("aks-v1", [replace("/unknown", 1)]),
        ("aks-v1", [replace("/kvTags", {"a": 1})]),
        ("aks-v1", [replace("/kvTags", {"a": "1"}), replace("/unknown", 1)]),
        ("aks-v1", [{"op": "move", "from": "/a", "path": "/b"}]),
        ("aks-v1", [{"op": "replace", "path": "/authEnabled"}]),
        ("aks-v1", [replace("authEnabled", False)]),
        ("aks-v1", ["authEnabled"]),
        ("aks-v1", {"authEnabled": False}),
    ],
)
def test_a_bad_update_changes_nothing(control: Control, profile: str, patch: Any) -> None:
    control.create({"name": "it", "profile": profile, "auth": "key", "tags": {"old": "1"}})
    before = get(control, "it")
    reply = control("PATCH", f"{V1}/services/it", patch)
    assert (reply.status, reply.json["code"]) == (400, "BadRequest")
    assert get(control, "it") == before


def test_an_update_of_tags_and_properties_is_done_at_once(control: Control) -> None:
    control.create({"name": "it", "tags": {"old": "1"}, "properties": {"p": "1"}})
    patch = [
        replace("/kvTags", {"new": "2"}),
        {"op": "add", "path": "/properties/azureml.git~1branch", "value": "main"},
        replace("/description", "words"),
    ]
    reply = control("PATCH", f"{V1}/services/it", patch)
    assert (reply.status, reply.json) == (200, get(control, "it"))
    assert reply.json["kvTags"] == {"new": "2"}
    assert reply.json["properties"] == {"p": "1", "azureml.git/branch": "main"}
    assert reply.json["description"] == "words"
    assert reply.json["updatedTime"] >= reply.json["createdTime"]


def test_an_update_of_the_deployment_is_an_operation(control: Control) -> None:
    control.create({"name": "it"})
    patch = [replace("/scoringTimeoutMs", 9000), replace("/autoScaler/maxReplicas", 4)]
    reply = control("PATCH", f"{V1}/services/it", patch)
    assert get(control, "it")["state"] == "Transitioning"
    finish(control, reply)
    entity = get(control, "it")
    assert (entity["scoringTimeoutMs"], entity["autoScaler"]["maxReplicas"]) == (9000, 4)
    assert entity["operationId"] in reply.headers["operation-location"]


def test_settings_belong_to_one_service(control: Control) -> None:
    control.create({"name": "it"}, {"name": "other"})
    finish(control, control("PATCH", f"{V1}/services/it", [replace("/autoScaler/maxReplicas", 4)]))
    assert get(control, "other")["autoScaler"]["maxReplicas"] is None
    control.registry.drop(["it"])
    control.create({"name": "it"})
    assert get(control, "it")["autoScaler"]["maxReplicas"] is None


def test_nothing_is_kept_of_a_service_that_is_gone(control: Control) -> None:
    alive = weakref.ref(control.create({"name": "it"})[0])
    get(control, "it")
    control.registry.drop(["it"])
    gc.collect()
    assert alive() is None


def test_a_deleted_service_is_gone_and_deleting_it_again_is_204(control: Control) -> None:
    control.create({"name": "it"})
    finish(control, control("DELETE", f"{V1}/services/it"))
    assert control("GET", f"{V1}/services/it").status == 404
    again = control("DELETE", f"{V1}/services/it")
    assert (again.status, again.json) == (204, None)


def test_an_operation_names_its_service(control: Control) -> None:
    reply = control("POST", f"{V1}/services", AKS)
    operation = control("GET", local(reply.headers["operation-location"])).json
    assert operation["resourceLocation"] == f"{WORKSPACE.arm_id}/services/fresh"
    assert control("GET", f"{V1}/operations/unknown").status == 404


def test_logs_are_text(control: Control) -> None:
    control.create({"name": "it"})
    assert "it" in control("GET", f"{V1}/services/it/logs?tail=5000&init=False").json["content"]
