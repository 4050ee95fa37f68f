"""The v2 API: online endpoints under Azure Resource Manager, as `azure-ai-ml` calls it (facts 3.1, W35, W36).

Also what both SDKs ask before they come to a service: subscriptions, and the workspace. Statuses and polling headers
are those of the published description that the SDK's client is made from: 201 or 200 with `Azure-AsyncOperation` to
create or replace, 202 with `Location` and `Retry-After` to change, to delete and to regenerate a key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlencode

from scoring_mock.control.calls import (
    ControlCall,
    Routes,
    bad_request,
    member_object,
    member_text,
    member_texts,
)
from scoring_mock.control.operations import Operation, Operations
from scoring_mock.control.pages import page_of
from scoring_mock.control.replies import ControlError, resource_manager_reply
from scoring_mock.control.settings import Settings
from scoring_mock.control.v2_entity import (
    AUTH_MODES,
    ONLY_DEPLOYMENT,
    default_settings,
    deployment,
    deployments,
    endpoint,
    endpoint_id,
)
from scoring_mock.control.v2_wish import EndpointWish, check_name
from scoring_mock.control.values import has_all, iso_time
from scoring_mock.control.workspace import PROVIDER, Workspace
from scoring_mock.http_types import Headers, Response, SpecError
from scoring_mock.service.keys import KeyName
from scoring_mock.service.registry import Registry
from scoring_mock.service.service import Service
from scoring_mock.service.spec import parse_key

_GROUP: Final = "subscriptions/{subscription}/resourceGroups/{group}"
_WORKSPACES: Final = f"{_GROUP}/providers/{PROVIDER}/workspaces"
_ENDPOINTS: Final = f"{_WORKSPACES}/{{workspace}}/onlineEndpoints"
_DEPLOYMENTS: Final = f"{_ENDPOINTS}/{{endpoint}}/deployments"
_LOCATION: Final = f"subscriptions/{{subscription}}/providers/{PROVIDER}/locations/{{location}}"
_KEY_TYPES: Final[dict[str, KeyName]] = {"primary": "primary", "secondary": "secondary"}
_STATES: Final = {"Create": "Creating", "Update": "Updating", "Delete": "Deleting", "RegenerateKeys": "Updating"}
# Simulated: the real service's number is not known. The SDK waits 30 s when there is none.
_RETRY_AFTER: Final = "1"


class ResourceManager:
    """Answers calls of Azure Resource Manager; `routes` is its table."""

    def __init__(self, registry: Registry, workspace: Workspace, operations: Operations, page_size: int) -> None:
        self._registry = registry
        self._workspace = workspace
        self._operations = operations
        self._page_size = page_size
        self._settings = Settings(default_settings)
        one = f"{_ENDPOINTS}/{{endpoint}}"
        table: dict[tuple[str, str], Callable[[ControlCall], Response]] = {
            ("GET", "subscriptions"): self._list_subscriptions,
            ("GET", "subscriptions/{subscription}"): self._get_subscription,
            ("GET", _WORKSPACES): self._list_workspaces,
            ("GET", f"{_WORKSPACES}/{{workspace}}"): self._get_workspace,
            ("GET", _ENDPOINTS): self._list_endpoints,
            ("GET", one): self._get_endpoint,
            ("PUT", one): self._put_endpoint,
            ("PATCH", one): self._patch_endpoint,
            ("DELETE", one): self._delete_endpoint,
            ("POST", f"{one}/listKeys"): self._list_keys,
            ("POST", f"{one}/regenerateKeys"): self._regenerate_key,
            ("POST", f"{one}/token"): self._token,
            ("GET", _DEPLOYMENTS): self._list_deployments,
            ("GET", f"{_DEPLOYMENTS}/{{deployment}}"): self._get_deployment,
            ("PUT", f"{_DEPLOYMENTS}/{{deployment}}"): self._put_deployment,
            ("DELETE", f"{_DEPLOYMENTS}/{{deployment}}"): self._delete_deployment,
            ("GET", f"{_LOCATION}/mfeOperationsStatus/{{operation}}"): self._operation_status,
            ("GET", f"{_LOCATION}/mfeOperationResults/{{operation}}"): self._operation_result,
        }
        self.routes = Routes({key: self._checked(handler) for key, handler in table.items()})

    def _checked(self, handler: Callable[[ControlCall], Response]) -> Callable[[ControlCall], Response]:
        """Return the handler behind what ARM checks of every call: its version, and that its scope exists."""

        def checked(call: ControlCall) -> Response:
            if not call.query.get("api-version"):
                raise ControlError(
                    400,
                    "MissingApiVersionParameter",
                    "The api-version query parameter (?api-version=) is required for all requests.",
                )
            self._check_scope(call.names)
            return handler(call)

        return checked

    def _check_scope(self, names: dict[str, str]) -> None:
        known = self._workspace
        subscription, group, workspace = (names.get(name) for name in ("subscription", "group", "workspace"))
        if subscription is not None and subscription.lower() != known.subscription_id:
            raise ControlError(404, "SubscriptionNotFound", f"The subscription '{subscription}' could not be found.")
        if group is not None and group.lower() != known.resource_group:
            raise ControlError(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")
        if workspace is not None and workspace.lower() != known.name:
            raise _not_found("workspaces/" + workspace, known)

    # -- before an endpoint -------------------------------------------------------------------------------------

    def _list_subscriptions(self, call: ControlCall) -> Response:
        return resource_manager_reply(call.request, 200, {"value": [self._subscription()]})

    def _get_subscription(self, call: ControlCall) -> Response:
        return resource_manager_reply(call.request, 200, self._subscription())

    def _subscription(self) -> dict[str, Any]:
        return {
            "id": f"/subscriptions/{self._workspace.subscription_id}",
            "subscriptionId": self._workspace.subscription_id,
            "tenantId": self._workspace.tenant_id,
            "displayName": self._workspace.subscription_name,
            "state": "Enabled",
        }

    def _list_workspaces(self, call: ControlCall) -> Response:
        return resource_manager_reply(call.request, 200, {"value": [self._shown_workspace(call)]})

    def _get_workspace(self, call: ControlCall) -> Response:
        return resource_manager_reply(call.request, 200, self._shown_workspace(call))

    def _shown_workspace(self, call: ControlCall) -> dict[str, Any]:
        known = self._workspace
        return {
            "id": known.arm_id,
            "name": known.name,
            "type": f"{PROVIDER}/workspaces",
            "location": known.location,
            "tags": {},
            "kind": "Default",
            "sku": {"name": "Basic", "tier": "Basic"},
            "identity": {
                "type": "SystemAssigned",
                "principalId": known.principal_id,
                "tenantId": known.tenant_id,
            },
            "properties": {
                "friendlyName": known.name,
                "description": "The workspace of a scoring-mock",
                "workspaceId": known.workspace_id,
                "tenantId": known.tenant_id,
                "provisioningState": "Succeeded",
                "publicNetworkAccess": "Enabled",
                "discoveryUrl": f"{call.base_url}/discovery",
                "v1LegacyMode": False,
            },
        }

    # -- endpoints ----------------------------------------------------------------------------------------------

    def _service(self, call: ControlCall) -> Service:
        service = self._registry.get(call.names["endpoint"].lower())
        if service is None or service.profile.api != "v2":
            raise _not_found(
                f"workspaces/{self._workspace.name}/onlineEndpoints/{call.names['endpoint']}", self._workspace
            )
        return service

    def _shown(self, service: Service) -> dict[str, Any]:
        return endpoint(
            service,
            self._registry.describe(service.name)["uris"],
            self._settings.of(service),
            self._workspace,
            self._state(endpoint_id(self._workspace, service.name)),
        )

    def _state(self, resource: str) -> str:
        running = self._operations.running_on(resource)
        return _STATES[running.kind] if running else "Succeeded"

    def _list_endpoints(self, call: ControlCall) -> Response:
        query = call.query
        tests: list[Callable[[Service], bool]] = []
        if query.get("name"):
            tests.append(lambda service: service.name == query["name"])
        if query.get("computetype"):
            tests.append(lambda service: service.profile.compute_type.lower() == query["computetype"].lower())
        for member in ("tags", "properties"):
            if query.get(member):
                tests.append(lambda service, member=member: has_all(getattr(service.details, member), query[member]))  # type: ignore[misc]
        chosen = [
            service
            for service in self._registry
            if service.profile.api == "v2" and all(test(service) for test in tests)
        ]
        shown, following = page_of(chosen, query.get("$skip"), query.get("count"), self._page_size)
        page: dict[str, Any] = {"value": [self._shown(service) for service in shown]}
        if following is not None:
            page["nextLink"] = call.next_page("$skip", following)
        return resource_manager_reply(call.request, 200, page)

    def _get_endpoint(self, call: ControlCall) -> Response:
        return resource_manager_reply(call.request, 200, self._shown(self._service(call)))

    def _put_endpoint(self, call: ControlCall) -> Response:
        name = call.names["endpoint"].lower()
        wish = EndpointWish.read(call.json_object())
        existing = self._registry.get(name)
        if existing is not None and existing.profile.api != "v2":
            raise ControlError(409, "Conflict", f"The name {name} is taken by a service of v1.")
        shares = self._shares(existing, wish.traffic)
        service = existing or self._new_endpoint(name, wish)
        details, settings = service.details, self._settings.of(service)
        details.description, details.properties, details.tags = wish.description, wish.properties, wish.tags
        settings |= {
            "identity": {"type": wish.identity},
            "compute": wish.compute or settings["compute"],
            "mirrorTraffic": wish.mirror_traffic,
            "publicNetworkAccess": wish.public_network_access,
        }
        if AUTH_MODES[service.auth] != AUTH_MODES[wish.auth]:
            service.set_auth(wish.auth)
        if service.profile.compute_type == "Managed":
            service.set_traffic(shares.items())  # W30: a new endpoint has no deployment, and nothing answers
        service.touch()
        if existing is None:
            return self._created(call, 201, self._started("Create", service), service)
        return self._created(call, 200, self._started("Update", service), service)

    def _new_endpoint(self, name: str, wish: EndpointWish) -> Service:
        """Make the service behind a new endpoint; with a `compute` it is one on Kubernetes."""
        check_name(name)
        spec: dict[str, Any] = {
            "name": name,
            "profile": "k8s-v2" if wish.compute else "managed-v2",
            "auth": wish.auth,
        }
        if wish.auth == "key":
            spec |= wish.keys
        try:
            self._registry.create([spec])
        except SpecError as error:
            raise bad_request(f"{error}.") from None
        service = self._registry.get(name)
        assert service is not None
        return service

    def _shares(self, service: Service | None, wanted: dict[str, int]) -> dict[str, int]:
        """Return all deployments with their new shares. Raises ControlError for one that does not exist."""
        existing = {} if service is None else deployments(service)
        unknown = sorted(set(wanted) - set(existing))
        if unknown:
            raise bad_request(f"traffic names the deployment {unknown[0]!r}, which does not exist.")
        return dict.fromkeys(existing, 0) | wanted

    def _patch_endpoint(self, call: ControlCall) -> Response:
        """Change tags and identity: a PATCH of this API has nothing else."""
        service, body = self._service(call), call.json_object()
        tags, identity = member_texts(body, "tags"), member_text(member_object(body, "identity"), "type")
        if body.get("tags") is not None:
            service.details.tags = tags
        if identity:
            self._settings.of(service)["identity"] = {"type": identity}
        service.touch()
        return self._accepted(call, self._started("Update", service))

    def _delete_endpoint(self, call: ControlCall) -> Response:
        service = self._registry.get(call.names["endpoint"].lower())
        if service is None or service.profile.api != "v2":
            return resource_manager_reply(call.request, 204)
        self._registry.drop([service.name])
        return self._accepted(call, self._started("Delete", service))

    # -- keys and tokens ----------------------------------------------------------------------------------------

    def _with_mode(self, call: ControlCall, mode: str) -> Service:
        """Return the endpoint, which must have that authMode. Simulated: what the real service says is not known."""
        service = self._service(call)
        if AUTH_MODES[service.auth] != mode:
            raise bad_request(f"The endpoint {service.name} has authMode {AUTH_MODES[service.auth]}, not {mode}.")
        return service

    def _list_keys(self, call: ControlCall) -> Response:
        service = self._with_mode(call, "Key")
        keys = {"primaryKey": service.keys.primary, "secondaryKey": service.keys.secondary}
        return resource_manager_reply(call.request, 200, keys)

    def _regenerate_key(self, call: ControlCall) -> Response:
        service = self._with_mode(call, "Key")
        body = call.json_object()
        name = _KEY_TYPES.get(str(body.get("keyType")).lower())
        if name is None:
            raise bad_request("keyType must be Primary or Secondary.")
        value = body.get("keyValue")
        if value is not None:
            try:
                value = parse_key(value, "keyValue")
            except SpecError as error:
                raise bad_request(f"{error}.") from None
        # The SDK sends the key in force as the wanted one (facts 3.2, defect c), and its callers get a new key. So a
        # value that would change nothing stands for a random one (simulated).
        in_force = service.keys.primary if name == "primary" else service.keys.secondary
        service.regenerate_key(name, None if value == in_force else value)
        return self._accepted(call, self._started("RegenerateKeys", service))

    def _token(self, call: ControlCall) -> Response:
        token = self._with_mode(call, "AMLToken").issue_token()
        value = {
            "accessToken": token.text,
            "tokenType": "Bearer",  # simulated
            "expiryTimeUtc": token.expires,  # W36; that these are seconds since the epoch is simulated
            "refreshAfterTimeUtc": token.refresh_by,
        }
        return resource_manager_reply(call.request, 200, value)

    # -- deployments: as far as reading and calling an endpoint needs them ----------------------------------------

    def _deployment_id(self, service: Service, name: str) -> str:
        return f"{endpoint_id(self._workspace, service.name)}/deployments/{name}"

    def _shown_deployment(self, service: Service, name: str) -> dict[str, Any]:
        body = self._settings.of(service)["deployments"].get(name, {})
        return deployment(service, name, body, self._workspace, self._state(self._deployment_id(service, name)))

    def _existing_deployment(self, call: ControlCall) -> tuple[Service, str]:
        service, name = self._service(call), call.names["deployment"].lower()
        if name not in deployments(service):
            raise _not_found(
                f"workspaces/{self._workspace.name}/onlineEndpoints/{service.name}/deployments/{name}", self._workspace
            )
        return service, name

    def _list_deployments(self, call: ControlCall) -> Response:
        service = self._service(call)
        names = list(deployments(service))
        shown, following = page_of(names, call.query.get("$skip"), call.query.get("$top"), self._page_size)
        page: dict[str, Any] = {"value": [self._shown_deployment(service, name) for name in shown]}
        if following is not None:
            page["nextLink"] = call.next_page("$skip", following)
        return resource_manager_reply(call.request, 200, page)

    def _get_deployment(self, call: ControlCall) -> Response:
        return resource_manager_reply(call.request, 200, self._shown_deployment(*self._existing_deployment(call)))

    def _put_deployment(self, call: ControlCall) -> Response:
        service, name = self._service(call), call.names["deployment"].lower()
        body = call.json_object()
        member_object(body, "properties")
        existing = deployments(service)
        if service.traffic is None and name != ONLY_DEPLOYMENT:
            # Simulated: endpoints on Kubernetes have more, those of the mock have not.
            raise bad_request(f"This endpoint has one deployment, {ONLY_DEPLOYMENT}.")
        check_name(name)
        self._settings.of(service)["deployments"][name] = body
        if name not in existing:
            service.set_traffic({**existing, name: 0}.items())
        kind = "Update" if name in existing else "Create"
        operation = self._operations.start(kind, self._deployment_id(service, name))
        return self._created(call, 200 if name in existing else 201, operation, service, name)

    def _delete_deployment(self, call: ControlCall) -> Response:
        service, name = self._service(call), call.names["deployment"].lower()
        existing = deployments(service)
        if name not in existing:
            return resource_manager_reply(call.request, 204)
        if existing.pop(name) or service.traffic is None:
            raise ControlError(409, "Conflict", f"The deployment {name} has traffic; set its share to 0 first.")
        service.set_traffic(existing.items())
        self._settings.of(service)["deployments"].pop(name, None)
        return self._accepted(call, self._operations.start("Delete", self._deployment_id(service, name)))

    # -- long-running operations --------------------------------------------------------------------------------

    def _started(self, kind: str, service: Service) -> Operation:
        return self._operations.start(kind, endpoint_id(self._workspace, service.name))

    def _link(self, call: ControlCall, operation: Operation, place: str) -> str:
        known = self._workspace
        path = f"/subscriptions/{known.subscription_id}/providers/{PROVIDER}/locations/{known.location}/{place}"
        version = urlencode({"api-version": call.query["api-version"]})
        return f"{call.base_url}{path}/oeidp:{known.workspace_id}:{operation.id}?{version}"

    def _created(
        self, call: ControlCall, status: int, operation: Operation, service: Service, deployment: str | None = None
    ) -> Response:
        """Answer a PUT with the resource as it is while the operation runs, and where to ask about that."""
        headers = [
            ("x-ms-async-operation-timeout", "PT1H"),
            ("Azure-AsyncOperation", self._link(call, operation, "mfeOperationsStatus")),
            ("Retry-After", _RETRY_AFTER),
        ]
        shown = self._shown(service) if deployment is None else self._shown_deployment(service, deployment)
        return resource_manager_reply(call.request, status, shown, headers)

    def _accepted(self, call: ControlCall, operation: Operation) -> Response:
        headers = [
            ("Location", self._link(call, operation, "mfeOperationResults")),
            ("x-ms-async-operation-timeout", "PT1H"),
            ("Retry-After", _RETRY_AFTER),
        ]
        return resource_manager_reply(call.request, 202, headers=headers)

    def _operation(self, call: ControlCall) -> Operation:
        operation = self._operations.get(call.names["operation"].rpartition(":")[2])
        if operation is None:
            raise ControlError(404, "OperationNotFound", "The operation could not be found.")
        return operation

    def _operation_status(self, call: ControlCall) -> Response:
        operation = self._operation(call)
        running = self._operations.is_running(operation)
        value: dict[str, Any] = {
            "id": call.path,
            "name": call.names["operation"],
            "status": "InProgress" if running else "Succeeded",
            "startTime": iso_time(operation.started),
        }
        headers: Headers = [("Retry-After", _RETRY_AFTER)] if running else []
        if not running:
            value["endTime"] = iso_time(operation.ends)
        return resource_manager_reply(call.request, 200, value, headers)

    def _operation_result(self, call: ControlCall) -> Response:
        operation = self._operation(call)
        if not self._operations.is_running(operation):
            return resource_manager_reply(call.request, 204 if operation.kind == "Delete" else 200)
        headers = [
            ("Location", self._link(call, operation, "mfeOperationResults")),
            ("Retry-After", _RETRY_AFTER),
        ]
        return resource_manager_reply(call.request, 202, headers=headers)


def _not_found(resource: str, workspace: Workspace) -> ControlError:
    """Return the 404 of ARM for a resource; `resource` is its path below the provider."""
    return ControlError(
        404,
        "ResourceNotFound",
        f"The Resource '{PROVIDER}/{resource}' under resource group '{workspace.resource_group}' was not found. "
        "For more details please go to https://aka.ms/ARMResourceNotFoundFix",
    )
