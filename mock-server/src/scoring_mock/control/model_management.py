"""The v1 API: services of the Model Management Service, as `azureml-core` calls it (facts 2.1, W35, W36, W46).

Paths are below `/modelmanagement/v1.0/subscriptions/…/workspaces/…/`. Statuses are those of the published description
(azure-rest-api-specs, machinelearningservices/data-plane, modelManagement.json): 202 with an `Operation-Location` to
create, to regenerate a key and to change a deployment, 201 for a token.
"""

from __future__ import annotations

import re
from typing import Any, Final

from scoring_mock.control.calls import (
    ControlCall,
    Routes,
    bad_request,
    member_object,
    member_text,
    member_texts,
)
from scoring_mock.control.json_patch import PatchError, apply_patch
from scoring_mock.control.operations import Operation, Operations
from scoring_mock.control.pages import page_of
from scoring_mock.control.replies import ControlError, model_management_reply
from scoring_mock.control.settings import Settings, fill_in
from scoring_mock.control.v1_entity import default_settings, entity, patchable, wanted_auth
from scoring_mock.control.v1_filters import select
from scoring_mock.control.values import iso_time
from scoring_mock.control.workspace import Workspace
from scoring_mock.http_types import Response, SpecError
from scoring_mock.service.keys import KeyName
from scoring_mock.service.registry import Registry
from scoring_mock.service.service import Service
from scoring_mock.service.spec import parse_key, parse_spec

_NAME: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_PROFILES: Final = {"AKS": "aks-v1", "ACI": "aci-v1"}
# The description of the API says that keyType is a number, the SDK sends a word.
_KEY_TYPES: Final[dict[str, KeyName]] = {
    "primary": "primary",
    "secondary": "secondary",
    "0": "primary",
    "1": "secondary",
}
# An update of these alone is done at once (200), every other one deploys again (202). Simulated: the description allows
# both answers to both.
_DATA_ONLY: Final = frozenset(("description", "kvTags", "properties"))


class ModelManagement:
    """Answers calls below one workspace; `routes` is its table."""

    def __init__(self, registry: Registry, workspace: Workspace, operations: Operations, page_size: int) -> None:
        self._registry = registry
        self._workspace = workspace
        self._operations = operations
        self._page_size = page_size
        self._settings = Settings(default_settings)
        self.routes = Routes(
            {
                ("GET", "services"): self._list,
                ("POST", "services"): self._create,
                ("PUT", "services"): self._create,
                ("POST", "services/list"): self._list_by_body,
                ("POST", "services/validate"): self._validate,
                ("POST", "services/validate/name/{name}"): self._validate_name,
                ("POST", "services/validate/resource"): self._validate_resource,
                ("GET", "services/{name}"): self._get,
                ("PATCH", "services/{name}"): self._update,
                ("DELETE", "services/{name}"): self._delete,
                ("POST", "services/{name}/listkeys"): self._list_keys,
                ("POST", "services/{name}/regenerateKeys"): self._regenerate_key,
                ("POST", "services/{name}/token"): self._token,
                ("GET", "services/{name}/logs"): self._logs,
                ("GET", "operations/{id}"): self._operation,
            }
        )

    # -- reading ------------------------------------------------------------------------------------------------

    def _service(self, call: ControlCall) -> Service:
        service = self._registry.get(call.names["name"])
        if service is None or service.profile.api != "v1":
            raise ControlError(
                404,
                "NotFound",
                "The specified resource was not found.",
                [("ServiceNotFound", f"Service with name {call.names['name']} was not found.")],
            )
        return service

    def _resource(self, service: Service) -> str:
        return f"v1/{service.name}"

    def _entity(self, service: Service, *, expand: bool) -> dict[str, Any]:
        latest = self._operations.latest_on(self._resource(service))
        return entity(
            service,
            self._registry.describe(service.name)["uris"],
            self._settings.of(service),
            self._workspace,
            operation_id=latest.id if latest else None,
            transitioning=latest is not None and self._operations.is_running(latest),
            expand=expand,
        )

    def _get(self, call: ControlCall) -> Response:
        shown = self._entity(self._service(call), expand=_is_true(call.query.get("expand")))
        return model_management_reply(call.request, 200, shown)

    def _list(self, call: ControlCall) -> Response:
        page, following = self._page(call.query)
        if following is not None:
            page["nextLink"] = call.next_page("$skipToken", following)
        return model_management_reply(call.request, 200, page)

    def _list_by_body(self, call: ControlCall) -> Response:
        body = call.json_object()
        page, following = self._page({name.lower(): str(value) for name, value in body.items() if value is not None})
        if following is not None:
            page["continuationToken"] = following
            page["nextRequest"] = body | {"skipToken": following}
        return model_management_reply(call.request, 200, page)

    def _page(self, query: dict[str, str]) -> tuple[dict[str, Any], str | None]:
        """Return one page, and the token of the following one: the last page has no link at all."""
        services = select((service for service in self._registry if service.profile.api == "v1"), query)
        token = query.get("$skiptoken") or query.get("skiptoken")
        shown, following = page_of(services, token, query.get("count"), self._page_size)
        expand = _is_true(query.get("expand"))
        return {"value": [self._entity(service, expand=expand) for service in shown]}, following

    def _logs(self, call: ControlCall) -> Response:
        service = self._service(call)
        content = f"scoring-mock: the service {service.name} has no container and no logs. See the journal.\n"
        return model_management_reply(call.request, 200, {"content": content})

    # -- keys and tokens ----------------------------------------------------------------------------------------

    def _list_keys(self, call: ControlCall) -> Response:
        service = self._with_keys(call)
        keys = {"primaryKey": service.keys.primary, "secondaryKey": service.keys.secondary}
        return model_management_reply(call.request, 200, keys)

    def _regenerate_key(self, call: ControlCall) -> Response:
        service = self._with_keys(call)
        body = call.json_object()
        name = _KEY_TYPES.get(str(body.get("keyType")).lower())
        if name is None:
            raise bad_request("keyType must be Primary or Secondary.")
        value = body.get("keyValue")
        service.regenerate_key(name, None if value is None else _checked_key(value, "keyValue"))
        return self._accepted(call, self._operations.start("RegenerateKeys", self._resource(service)))

    def _with_keys(self, call: ControlCall) -> Service:
        """Return the service, which must have key authentication.

        Simulated, not observed: what the real service says to others.
        """
        service = self._service(call)
        if service.auth != "key":
            raise bad_request(f"Key authentication is not enabled for the service {service.name}.", "AuthNotEnabled")
        return service

    def _token(self, call: ControlCall) -> Response:
        service = self._service(call)
        if service.auth != "token":
            # Simulated, not observed.
            raise bad_request(f"Token authentication is not enabled for the service {service.name}.", "AuthNotEnabled")
        token = service.issue_token()
        value = {
            "accessToken": token.text,
            "tokenType": "Bearer",
            "refreshAfter": token.refresh_by,  # W36: whole seconds since the epoch
            "expiryOn": token.expires,
        }
        return model_management_reply(call.request, 201, value)

    # -- create, update, delete ---------------------------------------------------------------------------------

    def _create(self, call: ControlCall) -> Response:
        body = call.json_object()
        spec = self._spec(body)
        self._check_is_free(spec["name"], body)
        try:
            parse_spec(spec)
            self._registry.drop([spec["name"]])
            self._registry.create([spec])
        except SpecError as error:
            raise bad_request(f"{error}.") from None
        service = self._registry.get(spec["name"])
        assert service is not None
        fill_in(self._settings.of(service), body)
        return self._accepted(call, self._operations.start("Create", self._resource(service)))

    def _check_is_free(self, name: str, body: dict[str, Any]) -> None:
        existing = self._registry.get(name)
        if existing is not None and (not body.get("overwrite") or existing.profile.api != "v1"):
            raise _conflict(name)

    def _spec(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the spec that a request for a service stands for. Raises ControlError.

        Simulated: whatever model, image or environment it names, the service runs the article's model.
        """
        name, compute = member_text(body, "name"), (member_text(body, "computeType") or "").upper()
        if name is None or not 3 <= len(name) <= 32 or not _NAME.fullmatch(name):
            raise bad_request("name must be 3 to 32 of a-z, 0-9 and -, start with a letter and not end with a dash.")
        if compute not in _PROFILES:
            raise bad_request(f"computeType must be one of {', '.join(_PROFILES)}.")
        aad = body.get("aadAuthEnabled") or False
        key = body.get("authEnabled")
        if key is None:
            key = compute == "AKS" and not aad  # the article's table: keys are on by default on AKS, off on ACI
        auth = wanted_auth(compute, key, aad)
        spec: dict[str, Any] = {
            "name": name,
            "profile": _PROFILES[compute],
            "auth": auth,
            "description": member_text(body, "description"),
            "tags": member_texts(body, "kvTags") or member_texts(body, "tags"),
            "properties": member_texts(body, "properties"),
        }
        keys = member_object(body, "keys")
        if auth == "key":
            wanted = {"primary_key": keys.get("primaryKey"), "secondary_key": keys.get("secondaryKey")}
            spec |= {member: _checked_key(value, "keys") for member, value in wanted.items() if value is not None}
        image = member_text(body, "imageId")
        if image:
            spec["image_name"] = image.partition(":")[0]
        models = member_object(body, "environmentImageRequest").get("modelIds")
        if isinstance(models, list) and models:
            model, _, version = str(models[0]).rpartition(":")
            if model and version.isdecimal():
                spec |= {"model_name": model, "model_version": int(version)}
        return spec

    def _update(self, call: ControlCall) -> Response:
        service = self._service(call)
        settings, details = self._settings.of(service), service.details
        before = patchable(service, settings)
        try:
            after = apply_patch(before, call.json())
        except PatchError as error:
            raise bad_request(str(error), "InvalidJsonPatch") from None
        auth = wanted_auth(service.profile.compute_type, after.get("authEnabled"), after.get("aadAuthEnabled", False))
        tags, properties = member_texts(after, "kvTags"), member_texts(after, "properties")
        description, image = member_text(after, "description"), member_text(after, "imageId")
        details.description, details.tags, details.properties = description, tags, properties
        if image and image != before["imageId"]:
            details.image_name = image.partition(":")[0]
        for name in settings:
            settings[name] = after.get(name)
        if auth != service.auth:
            service.set_auth(auth)
        service.touch()
        if {name for name in before.keys() | after.keys() if after.get(name) != before.get(name)} <= _DATA_ONLY:
            return model_management_reply(call.request, 200, self._entity(service, expand=True))
        return self._accepted(call, self._operations.start("Update", self._resource(service)))

    def _delete(self, call: ControlCall) -> Response:
        service = self._registry.get(call.names["name"])
        if service is None or service.profile.api != "v1":
            return model_management_reply(call.request, 204)
        self._registry.drop([service.name])
        return self._accepted(call, self._operations.start("Delete", self._resource(service)))

    # -- checks before a deployment: 200, with `error` inside when it would fail ----------------------------------

    def _validate(self, call: ControlCall) -> Response:
        body = call.json_object()
        try:
            if body.get("type") == "Create":
                wish = member_object(body, "createRequest")
                self._check_is_free(self._spec(wish)["name"], wish)
        except ControlError as error:
            return self._invalid(call, error)
        return model_management_reply(call.request, 200, {})

    def _validate_name(self, call: ControlCall) -> Response:
        if self._registry.get(call.names["name"]) is not None:
            return self._invalid(call, _conflict(call.names["name"]))
        return model_management_reply(call.request, 200, {})

    def _validate_resource(self, call: ControlCall) -> Response:
        return model_management_reply(call.request, 200, {})

    def _invalid(self, call: ControlCall, error: ControlError) -> Response:
        message = error.details[0][1] if error.details else error.message
        return model_management_reply(call.request, 200, {"error": {"code": error.code, "message": message}})

    # -- long-running operations --------------------------------------------------------------------------------

    def _accepted(self, call: ControlCall, operation: Operation) -> Response:
        base = call.path.partition("/services")[0]
        return model_management_reply(
            call.request, 202, headers=[("Operation-Location", f"{call.base_url}{base}/operations/{operation.id}")]
        )

    def _operation(self, call: ControlCall) -> Response:
        operation = self._operations.get(call.names["id"])
        if operation is None:
            raise ControlError(
                404,
                "NotFound",
                "The specified resource was not found.",
                [("OperationNotFound", f"Operation with id {call.names['id']} was not found.")],
            )
        running = self._operations.is_running(operation)
        value = {
            "id": operation.id,
            "operationType": "Service",
            "state": "Running" if running else "Succeeded",
            "createdTime": iso_time(operation.started),
            "endTime": None if running else iso_time(operation.ends),
            "error": None,
            "resourceLocation": f"{self._workspace.arm_id}/services/{operation.resource.removeprefix('v1/')}",
            "operationLog": None,
            "operationDetails": {
                "subOperationType": "DeployService",
                "subOperationState": "Running" if running else "Succeeded",
            },
            "parentRequestId": None,
        }
        return model_management_reply(call.request, 200, value)


def _is_true(text: str | None) -> bool:
    return text is not None and text.lower() == "true"


def _conflict(name: str) -> ControlError:
    """Return the 409 of a name that is taken; the form is recorded, the sentence is not."""
    return ControlError(409, "Conflict", "Conflict", [("ServiceExists", f"Service with name {name} already exists.")])


def _checked_key(value: Any, where: str) -> str:
    try:
        return parse_key(value, where)
    except SpecError as error:
        raise bad_request(f"{error}.") from None
