"""A service as the v1 API shows it (facts 2.2): the entity, and what of it an update may change."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

from scoring_mock.control.calls import bad_request
from scoring_mock.control.values import image_digest, image_id, iso_time, model_id
from scoring_mock.control.workspace import Workspace
from scoring_mock.profiles.catalogue import AuthMode
from scoring_mock.service.service import Service

# What a deployment was given and nothing of the mock acts on: shown, and changed by updates. Documented defaults where
# there are any ("Deploy a model to an Azure Kubernetes Service cluster with v1"), else those of the SDK's docstrings.
_AKS_SETTINGS: Final[dict[str, Any]] = {
    "computeName": "mock-aks",
    "namespace": "azureml-scoring-mock",
    "appInsightsEnabled": False,
    "numReplicas": 1,
    "autoScaler": {
        "autoscaleEnabled": False,
        "minReplicas": None,
        "maxReplicas": None,
        "targetUtilization": None,
        "refreshPeriodInSeconds": None,
    },
    "containerResourceRequirements": {
        "cpu": 0.1,
        "cpuLimit": None,
        "memoryInGB": 0.5,
        "memoryInGBLimit": None,
        "gpu": None,
        "fpga": None,
    },
    "livenessProbeRequirements": {
        "failureThreshold": 3,
        "successThreshold": 1,
        "timeoutSeconds": 2,
        "periodSeconds": 10,
        "initialDelaySeconds": 310,
    },
    "dataCollection": {"eventHubEnabled": False, "storageEnabled": False},
    "maxConcurrentRequestsPerContainer": 1,
    "maxQueueWaitMs": 500,
    "scoringTimeoutMs": 60_000,
    "isDefault": None,
    "trafficPercentile": None,
    "type": None,
}
_ACI_SETTINGS: Final[dict[str, Any]] = {
    "appInsightsEnabled": False,
    "containerResourceRequirements": {"cpu": 0.1, "memoryInGB": 0.5},
    "dataCollection": {"eventHubEnabled": False, "storageEnabled": False},
    "sslEnabled": False,
    "sslCertificate": None,
    "sslKey": None,
    "cname": None,
    "encryptionProperties": None,
    "vnetConfiguration": None,
}


def default_settings(service: Service) -> dict[str, Any]:
    """Return the settings of a service that was deployed without any."""
    return copy.deepcopy(_ACI_SETTINGS if service.profile.compute_type == "ACI" else _AKS_SETTINGS)


def scoring_uri(uris: Mapping[str, Mapping[str, str]]) -> tuple[str, str]:
    """Return scoring and swagger URI: plain http where there is a choice, as AKS and ACI have it by default."""
    chosen = uris["http"] if "http" in uris else next(iter(uris.values()))
    return chosen["scoring"], chosen["swagger"]


def entity(
    service: Service,
    uris: Mapping[str, Mapping[str, str]],
    settings: Mapping[str, Any],
    workspace: Workspace,
    *,
    operation_id: str | None,
    transitioning: bool,
    expand: bool,
) -> dict[str, Any]:
    """Return the entity; with `expand` it names its models. `uris` are those of the admin plane's `service`."""
    scoring, swagger = scoring_uri(uris)
    shown: dict[str, Any] = {
        "id": service.name,
        "name": service.name,
        "description": service.details.description,
        "kvTags": dict(service.details.tags),
        "properties": dict(service.details.properties),
        "state": "Transitioning" if transitioning else "Healthy",
        "createdTime": iso_time(service.created),
        "updatedTime": iso_time(service.updated),
        "error": None,
        "deploymentType": "HttpRealtimeEndpoint",
        "createdBy": _creator(workspace),
        "computeType": service.profile.compute_type,
        "imageId": image_id(service),
        "imageDigest": image_digest(service),
        "scoringUri": scoring,
        "swaggerUri": swagger,
        "authEnabled": service.auth == "key",
        **copy.deepcopy(dict(settings)),
    }
    if operation_id is not None:
        shown["operationId"] = operation_id
    if service.profile.compute_type == "AKS":
        shown["aadAuthEnabled"] = service.auth == "token"  # W46: not tokenAuthEnabled
        replicas = settings["numReplicas"] or 1
        shown["deploymentStatus"] = {
            "desiredReplicas": replicas,
            "updatedReplicas": replicas,
            "availableReplicas": 0 if transitioning else replicas,
            "error": None,
        }
    else:
        host = scoring.partition("://")[2].partition("/")[0]
        shown |= {"location": workspace.location, "publicIp": host.rpartition(":")[0], "publicFqdn": host}
    if expand:
        shown["models"] = [_model(service, workspace)]
    return shown


def _creator(workspace: Workspace) -> dict[str, Any]:
    return {
        "userObjectId": workspace.principal_id,
        "userTenantId": workspace.tenant_id,
        "userName": "scoring-mock",
    }


def _model(service: Service, workspace: Workspace) -> dict[str, Any]:
    """Return the registered model behind a service. Simulated: the mock has no model registry."""
    return {
        "id": model_id(service),
        "name": service.details.model_name,
        "version": service.details.model_version,
        "framework": "ScikitLearn",
        "frameworkVersion": None,
        "description": None,
        "tags": None,
        "kvTags": {},
        "properties": {},
        "unpack": False,
        "url": f"aml://asset/{model_id(service)}",
        "mimeType": "application/x-python",
        "createdTime": iso_time(service.created),
        "modifiedTime": iso_time(service.created),
        "createdBy": _creator(workspace),
        "experimentName": None,
        "runId": None,
        "datasets": [],
        "sampleInputData": None,
        "sampleOutputData": None,
        "resourceRequirements": None,
        "parentModelId": None,
        "derivedModelIds": None,
    }


def patchable(service: Service, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of the entity that a JSON Patch may change."""
    document: dict[str, Any] = {
        "description": service.details.description,
        "kvTags": dict(service.details.tags),
        "properties": dict(service.details.properties),
        "imageId": image_id(service),
        "environmentImageRequest": None,
        "authEnabled": service.auth == "key",
        **settings,
    }
    if service.profile.compute_type == "AKS":
        document["aadAuthEnabled"] = service.auth == "token"
    return document


def wanted_auth(compute_type: str, auth_enabled: Any, aad_auth_enabled: Any) -> AuthMode:
    """Return the authentication that two flags ask for (W22). Raises ControlError for what does not exist."""
    code = "InvalidAuthentication"
    if not isinstance(auth_enabled, bool) or not isinstance(aad_auth_enabled, bool):
        raise bad_request("authEnabled and aadAuthEnabled must be true or false.", code)
    if auth_enabled and aad_auth_enabled:
        raise bad_request("Key authentication and token authentication exclude each other.", code)
    if aad_auth_enabled and compute_type != "AKS":
        raise bad_request(f"Token authentication is not available on {compute_type}.", code)
    return "token" if aad_auth_enabled else "key" if auth_enabled else "off"
