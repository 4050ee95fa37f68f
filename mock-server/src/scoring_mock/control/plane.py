"""The control plane as a listener serves it: who may call, and which of the two APIs a path belongs to."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from scoring_mock.control.calls import ControlCall, Handler, Routes, take_apart
from scoring_mock.control.model_management import ModelManagement
from scoring_mock.control.operations import Operations
from scoring_mock.control.replies import (
    ControlError,
    model_management_error,
    resource_manager_error,
    resource_manager_reply,
)
from scoring_mock.control.resource_manager import ResourceManager
from scoring_mock.control.workspace import Workspace
from scoring_mock.http_types import Request, Response
from scoring_mock.service.registry import Registry

if TYPE_CHECKING:
    from scoring_mock.wire.journal import Journal

CLOUD_NAME = "ScoringMock"
_V1 = "/modelmanagement/v1.0"
# Recorded, of v1.
_INTERNAL = "An internal server error occurred. Please try again. If the problem persists, contact support"


class ControlPlane:
    """Answers on the control listener; a `Site` and its only `Service`.

    Every call needs `Authorization: Bearer …`, as ARM wants it; which token it is, nobody checks (simulated). The two
    documents that lead an SDK here, `/metadata/endpoints` and `/discovery`, need none, as the real ones.
    """

    name = "control"

    def __init__(
        self,
        registry: Registry,
        workspace: Workspace | None = None,
        *,
        operation_seconds: float = 1.0,
        page_size: int = 30,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Manage the services of `registry` in one workspace.

        `operation_seconds` is how long a long-running operation reports that it runs, `page_size` how many items a page
        of a list has when the caller does not say (both simulated), `now` gives the time in seconds since the epoch.
        """
        self.workspace = workspace or Workspace()
        operations = Operations(now, operation_seconds)
        self._v1 = ModelManagement(registry, self.workspace, operations, page_size)
        self._v2 = ResourceManager(registry, self.workspace, operations, page_size)
        self._public = Routes({("GET", "metadata/endpoints"): self._metadata, ("GET", "discovery"): self._discovery})

    # -- what a listener needs ----------------------------------------------------------------------------------

    def route(self, request: Request) -> tuple[ControlPlane, Journal | None]:  # noqa: ARG002
        """Everything on this listener is for the control plane; nothing of it is journaled."""
        return self, None

    def journal_of_unread(self, owner: str | None) -> Journal | None:  # noqa: ARG002
        """Return no journal."""
        return None

    def handle_head(self, request: Request) -> Response | None:
        """Refuse a call without a token before its body was read."""
        if self._is_public(take_apart(request).path) or _has_token(request):
            return None
        response = self.handle(request)
        response.close = True
        response.headers.append(("Connection", "close"))
        return response

    def handle(self, request: Request) -> Response:
        """Answer one call. Synchronous, no I/O but what opening a listener for a new service takes."""
        call = take_apart(request)
        v1 = call.path.lower().startswith("/modelmanagement/")
        refuse = model_management_error if v1 else resource_manager_error
        try:
            handler, call.names = self._find(call, v1=v1)
            response = handler(call)
        except ControlError as error:
            response = refuse(request, error)
        except OSError:  # no socket left for the listener of a new service
            response = refuse(request, ControlError(500, "InternalServerError", _INTERNAL))
        if request.method == "HEAD":
            response.body, response.chunks = b"", None
        return response

    def _find(self, call: ControlCall, *, v1: bool) -> tuple[Handler, dict[str, str]]:
        method = call.request.method
        if self._is_public(call.path):
            return self._public.find(method, call.path)
        _check_token(call.request, v1=v1)
        if not v1:
            return self._v2.routes.find(method, call.path)
        scope = f"{_V1}{self.workspace.arm_id}/"
        if not call.path.lower().startswith(scope.lower()):
            raise ControlError(
                404,
                "NotFound",
                "The specified resource was not found.",
                [("WorkspaceNotFound", "Workspace not found.")],
            )
        return self._v1.routes.find(method, call.path[len(scope) :])

    def _is_public(self, path: str) -> bool:
        return path.lower().rstrip("/") in ("/metadata/endpoints", "/discovery")

    # -- the way here -------------------------------------------------------------------------------------------

    def _metadata(self, call: ControlCall) -> Response:
        """Answer `ARM_CLOUD_METADATA_URL`: a cloud whose Resource Manager is this control plane."""
        base = call.base_url
        cloud = {
            "name": CLOUD_NAME,
            "portal": f"{base}/",
            "resourceManager": base,
            "authentication": {
                "loginEndpoint": base,
                "audiences": [base],
                "tenant": self.workspace.tenant_id,
                "identityProvider": "AAD",
            },
            "graphAudience": base,
            "microsoftGraphResourceId": base,
            "gallery": base,
            "batch": base,
            "media": base,
            "sqlManagement": base,
            "vmImageAliasDoc": base,
            "activeDirectoryDataLake": base,
            "suffixes": {
                "storage": "storage.invalid",
                "keyVaultDns": "vault.invalid",
                "acrLoginServer": "registry.invalid",
                "sqlServerHostname": "sql.invalid",
            },
        }
        return resource_manager_reply(call.request, 200, [cloud])

    def _discovery(self, call: ControlCall) -> Response:
        """Answer the `discoveryUrl` of a workspace: where its services are. All are here, most of them answer 404."""
        names = (
            "api",
            "catalog",
            "experimentation",
            "gallery",
            "history",
            "hyperdrive",
            "modelmanagement",
            "pipelines",
        )
        urls = dict.fromkeys((*names, "notebooks", "studio"), call.base_url)
        return resource_manager_reply(call.request, 200, urls)


def _has_token(request: Request) -> bool:
    scheme, _, token = (request.header("authorization") or "").partition(" ")
    return scheme.lower() == "bearer" and bool(token.strip())


def _check_token(request: Request, *, v1: bool) -> None:
    """Raise the 401 of the API when there is no bearer token."""
    if _has_token(request):
        return
    if v1:  # recorded: computervision-recipes#501, spelt as it is
        reason = (
            "Invalid Authorization header. Please make sure sure your are using Bearer authentication "
            "and passing the correct key."
        )
        raise ControlError(401, "Unauthorized", "Unauthorized", [("EmptyOrInvalidToken", reason)])
    challenge = 'Bearer authorization_uri="https://login.windows.net/", error="invalid_token", error_description='
    if request.header("authorization") is None:
        code, message = "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing."
        challenge += "\"The authentication failed because of missing 'Authorization' header.\""
    else:
        code = "AuthenticationFailedInvalidHeader"
        message = "Authentication failed. The 'Authorization' header is provided in an invalid format."
        challenge += f'"{message}"'
    raise ControlError(401, code, message, headers=[("WWW-Authenticate", challenge)])
