"""The five profiles, as data: where a service lives, who may call it, and what stands in front of it.

Every form marked `simulated` has bytes that nobody has observed; all the others are measured, documented or recorded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from scoring_mock.profiles.front_end import Condition, FrontEnd, PlatformForm

ProfileName = Literal["container", "aci-v1", "aks-v1", "k8s-v2", "managed-v2"]
AuthMode = Literal["off", "key", "token"]
GenerationName = Literal["modern", "legacy"]

_TEXT = "text/plain; charset=utf-8"
_HTML = "text/html"
_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of deployment.

    `base` is the path that everything of a service is below; `{name}` is the service's name. A profile with an
    empty base owns its host, as the real one does: its services get listeners of their own. `auth_modes` lists
    what can be asked for, the default first.
    """

    name: ProfileName
    base: str
    auth_modes: tuple[AuthMode, ...]
    generations: tuple[GenerationName, ...]
    front: FrontEnd | None
    # v1 or v2 of the management API, and its name for the compute.
    api: Literal["v1", "v2"] | None
    compute_type: str
    # The newest TLS version that the real service speaks (W37).
    newest_tls: Literal["1.2", "1.3"] = "1.3"

    @property
    def default_auth(self) -> AuthMode:
        """The authentication of a service that was deployed without asking for any."""
        return self.auth_modes[0]

    @property
    def dedicated(self) -> bool:
        """Whether a service of this profile owns its host and port."""
        return not self.base


_MODEL_500_IS_502: dict[int | None, int] = {500: 502}  # W26
_MODEL_NOT_200_IS_424: dict[int | None, int] = {None: 424}  # W27

# What azureml-fe, the router of v1 and of Kubernetes, answers by itself.
_ROUTER_FORMS: dict[Condition, PlatformForm] = {
    # W25: the status is documented; no recording of the body exists.
    "unauthorized": PlatformForm(401, _TEXT, "Unauthorized", simulated=True),
    # W32: the cap is documented, the answer is not.
    "too-large": PlatformForm(413, _TEXT, "The payload is too large", simulated=True),
    # W28
    "timeout": PlatformForm(
        504,
        _TEXT,
        "Post http://localhost:5001/score: net/http: request canceled (Client.Timeout exceeded while awaiting headers)",
    ),
    # W29
    "overloaded": PlatformForm(503, _TEXT, "Too many requests for service {name} (overloaded)"),
    "no-ready-replicas": PlatformForm(503, _TEXT, "No ready replicas for service {name}"),
    # W29: the text is recorded, its status is not.
    "replica-closed": PlatformForm(503, _TEXT, "Replica closed connection before replying", simulated=True),
    # W26: a 500 is the router's own; its text is not recorded.
    "platform-error": PlatformForm(500, _TEXT, "Internal Server Error", simulated=True),
    # W33: the page of the web server in the image.
    "gateway-page": PlatformForm(
        504,
        _HTML,
        '<html>\r\n<head><title>504 Gateway Time-out</title></head>\r\n<body bgcolor="white">\r\n'
        "<center><h1>504 Gateway Time-out</h1></center>\r\n<hr><center>nginx/1.10.3 (Ubuntu)</center>\r\n"
        "</body>\r\n</html>\r\n",
        ids=False,
    ),
}

_ROUTER = FrontEnd(
    spelling="canonical",  # W13: recorded on an old v1 service; assumed for the others
    server=None,
    statuses=_MODEL_500_IS_502,
    names_model_status=False,
    owns_request_ids=False,
    form_ids=("x-ms-request-id",),
    cors=True,
    forms=_ROUTER_FORMS,
    timeout_ms=60_000,
    max_body_bytes=100 * _MEBIBYTE,
    queue_factor=1,
    queue_wait=0.5,
)


def _reason(reason: str) -> tuple[tuple[str, str], ...]:
    return (("ms-azureml-model-error-reason", reason),)


_MANAGED_FORMS: dict[Condition, PlatformForm] = {
    # W24: the text is recorded; that it is text/plain is not.
    "unauthorized": PlatformForm(401, "text/plain", "key_auth_access_denied"),
    "forbidden": PlatformForm(403, "text/plain", "Forbidden", simulated=True),
    # W32: the cap and the answer of today are not published.
    "too-large": PlatformForm(413, "text/plain", "Payload Too Large", simulated=True),
    "timeout": PlatformForm(408, "text/plain", "upstream request timeout"),  # W28
    # W29: an empty body under a reason.
    "overloaded": PlatformForm(429, "text/plain", "", _reason("too_many_pending_request")),
    # W29 W38: the limit is documented; body and Retry-After are not, and the latter is not sent.
    "rate-limited": PlatformForm(429, "text/plain", "", simulated=True),
    # W31: status and reason are the platform's; the text is not recorded.
    "model-not-ready": PlatformForm(
        424, "text/plain", "The model is not ready", _reason("model_not_ready"), simulated=True
    ),
    "too-few-instances": PlatformForm(
        424, "text/plain", "Too few instances of the model", _reason("too_few_model_instance"), simulated=True
    ),
    # W30: one client of Microsoft's own looks for these words.
    "no-deployment": PlatformForm(404, "text/plain", "Specified traffic group could not be found"),
    "platform-error": PlatformForm(500, "text/plain", "Internal Server Error", simulated=True),
}

_MANAGED = FrontEnd(
    spelling="lower",
    server="azureml-frontdoor",
    statuses=_MODEL_NOT_200_IS_424,
    names_model_status=True,
    owns_request_ids=True,
    form_ids=("x-request-id", "x-ms-client-request-id"),
    cors=False,
    forms=_MANAGED_FORMS,
    timeout_ms=5_000,
    max_body_bytes=None,
    queue_factor=2,
    queue_wait=0.0,
    deployment_headers=("azureml-model-deployment", "azureml-model-session"),
)

PROFILES: dict[ProfileName, Profile] = {
    profile.name: profile
    for profile in (
        Profile(
            name="container",
            base="",
            auth_modes=("off",),
            generations=("modern", "legacy"),
            front=None,
            api=None,
            compute_type="Local",
        ),
        Profile(
            name="aci-v1",
            base="",
            auth_modes=("off", "key"),  # W22: no tokens on ACI
            generations=("modern", "legacy"),
            front=replace(_ROUTER, keep_alive="keep-alive"),
            api="v1",
            compute_type="ACI",
            newest_tls="1.2",
        ),
        Profile(
            name="aks-v1",
            base="/api/v1/service/{name}",
            auth_modes=("key", "token", "off"),  # W22
            generations=("modern", "legacy"),
            front=_ROUTER,
            api="v1",
            compute_type="AKS",
            newest_tls="1.2",
        ),
        Profile(
            name="k8s-v2",
            base="/api/v1/endpoint/{name}",
            auth_modes=("key", "token", "off"),
            generations=("modern", "legacy"),
            front=replace(_ROUTER, timeout_ms=5_000),
            api="v2",
            compute_type="Kubernetes",
        ),
        Profile(
            name="managed-v2",
            base="",
            auth_modes=("key", "token", "off"),
            generations=("modern",),
            front=_MANAGED,
            api="v2",
            compute_type="Managed",
        ),
    )
}
