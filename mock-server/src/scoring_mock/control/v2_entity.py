"""A service as the v2 API shows it (facts 3.1): an online endpoint and its deployments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from scoring_mock.control.values import iso_time, model_id
from scoring_mock.control.workspace import PROVIDER, Workspace
from scoring_mock.profiles.catalogue import AuthMode
from scoring_mock.service.service import Service

# There is no `off` in v2: an endpoint of the mock without authentication says `Key`, and takes requests with any key
# (simulated). Entra tokens (`AADToken`) are not served.
AUTH_MODES: Final[dict[AuthMode, str]] = {"key": "Key", "token": "AMLToken", "off": "Key"}

# The one deployment of an endpoint whose profile has no traffic to split.
ONLY_DEPLOYMENT: Final = "blue"


def default_settings(service: Service) -> dict[str, Any]:
    """Return what an endpoint was created with when nothing was said; `deployments` are bodies by name."""
    return {
        "identity": {"type": "SystemAssigned"},
        "publicNetworkAccess": "Enabled",
        "mirrorTraffic": {},
        "compute": None,
        "deployments": {name: {} for name in deployments(service)},
    }


def deployments(service: Service) -> dict[str, int]:
    """Return the deployments of an endpoint and their shares of the traffic, in percent."""
    return {ONLY_DEPLOYMENT: 100} if service.traffic is None else dict(service.traffic.shares)


def scoring_uri(uris: Mapping[str, Mapping[str, str]], *, managed: bool) -> tuple[str, str]:
    """Return scoring and swagger URI: https for managed endpoints, which have nothing else, if it is on; else http."""
    order = ("https", "http") if managed else ("http", "https")
    chosen = next((uris[name] for name in order if name in uris), None) or next(iter(uris.values()))
    return chosen["scoring"], chosen["swagger"]


def endpoint_id(workspace: Workspace, name: str) -> str:
    """Return the resource id of an endpoint."""
    return f"{workspace.arm_id}/onlineEndpoints/{name}"


def endpoint(
    service: Service,
    uris: Mapping[str, Mapping[str, str]],
    settings: Mapping[str, Any],
    workspace: Workspace,
    provisioning_state: str,
) -> dict[str, Any]:
    """Return the endpoint; `uris` are those of the admin plane's `service`. Keys are never shown here."""
    managed = service.profile.compute_type == "Managed"
    scoring, swagger = scoring_uri(uris, managed=managed)
    properties: dict[str, Any] = {
        "authMode": AUTH_MODES[service.auth],
        "description": service.details.description,
        "keys": None,
        "properties": {
            "azureml.onlineendpointid": endpoint_id(workspace, service.name).lower(),
            **service.details.properties,
        },
        "scoringUri": scoring,
        "swaggerUri": swagger,
        "provisioningState": provisioning_state,
        "publicNetworkAccess": settings["publicNetworkAccess"],
        "traffic": {name: share for name, share in deployments(service).items() if share},
        "mirrorTraffic": settings["mirrorTraffic"],
    }
    if not managed:
        properties["compute"] = settings["compute"] or f"{workspace.arm_id}/computes/mock-kubernetes"
    return {
        "id": endpoint_id(workspace, service.name),
        "name": service.name,
        "type": f"{PROVIDER}/workspaces/onlineEndpoints",
        "location": workspace.location,
        "tags": dict(service.details.tags),
        "kind": "Managed" if managed else "K8S",
        "identity": {
            **settings["identity"],
            "principalId": workspace.principal_id,
            "tenantId": workspace.tenant_id,
        },
        "systemData": _system_data(service),
        "properties": properties,
    }


def deployment(
    service: Service, name: str, body: Mapping[str, Any], workspace: Workspace, provisioning_state: str
) -> dict[str, Any]:
    """Return one deployment; members of the `body` that it was created with come before the defaults."""
    managed = service.profile.compute_type == "Managed"
    properties: dict[str, Any] = {
        "model": f"{workspace.arm_id}/models/{model_id(service).replace(':', '/versions/')}",
        "environmentId": f"{workspace.arm_id}/environments/scoring-mock/versions/1",
        "codeConfiguration": None,
        "description": None,
        "properties": {},
        "environmentVariables": {},
        "instanceType": "Standard_DS3_v2" if managed else "defaultinstancetype",
        "appInsightsEnabled": False,
        "scaleSettings": {"scaleType": "Default"},
        # Documented defaults (facts 3.5).
        "requestSettings": {
            "maxConcurrentRequestsPerInstance": 1,
            "maxQueueWait": "PT0.5S",
            "requestTimeout": "PT5S",
        },
        "livenessProbe": _PROBE,
        "readinessProbe": _PROBE,
        "egressPublicNetworkAccess": "Enabled",
    }
    if not managed:
        properties["containerResourceRequirements"] = {
            "containerResourceRequests": {"cpu": "0.1", "memory": "0.5Gi", "gpu": None},
            "containerResourceLimits": {"cpu": "1", "memory": "2Gi", "gpu": None},
        }
    given = body.get("properties") or {}
    properties |= {member: value for member, value in given.items() if value is not None}
    properties |= {
        "endpointComputeType": "Managed" if managed else "Kubernetes",
        "provisioningState": provisioning_state,
    }
    return {
        "id": f"{endpoint_id(workspace, service.name)}/deployments/{name}",
        "name": name,
        "type": f"{PROVIDER}/workspaces/onlineEndpoints/deployments",
        "location": workspace.location,
        "tags": body.get("tags") or {},
        "kind": "Managed" if managed else "K8S",
        "sku": body.get("sku") or {"name": "Default", "capacity": 1},
        "systemData": _system_data(service),
        "properties": properties,
    }


_PROBE: Final = {
    "failureThreshold": 30,
    "successThreshold": 1,
    "timeout": "PT2S",
    "period": "PT10S",
    "initialDelay": "PT10S",
}


def _system_data(service: Service) -> dict[str, Any]:
    return {
        "createdAt": iso_time(service.created),
        "createdBy": "scoring-mock",
        "createdByType": "User",
        "lastModifiedAt": iso_time(service.updated),
    }
