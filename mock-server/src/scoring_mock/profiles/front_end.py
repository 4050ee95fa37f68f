"""The layer in front of the container: status mapping, headers, and the answers that it gives by itself.

What differs from profile to profile is data (`FrontEnd`); the code is the same for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from scoring_mock.http_types import Response, reason_phrase
from scoring_mock.profiles.http_date import http_date
from scoring_mock.profiles.request_ids import Fields, modern_ids, new_uuid

Spelling = Literal["canonical", "lower"]
"""How a front end writes header names: `X-Ms-Request-Id` (Go) or `x-ms-request-id` (Envoy)."""

Condition = Literal[
    "unauthorized",
    "forbidden",
    "too-large",
    "timeout",
    "overloaded",
    "no-ready-replicas",
    "replica-closed",
    "rate-limited",
    "model-not-ready",
    "too-few-instances",
    "no-deployment",
    "platform-error",
    "crashed",
]
"""What a front end answers by itself."""


@dataclass(frozen=True, slots=True)
class PlatformForm:
    """One answer of a front end's own. `{name}` in the body is the service's name.

    `simulated`: neither measured nor documented in these bytes. Ids are not sent with a page of a gateway (W33).
    """

    status: int
    content_type: str | None
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    ids: bool = True
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """A front end, as data."""

    spelling: Spelling
    # The Server header; None passes the container's on.
    server: str | None
    # Status of the model to status of the reply; `None` as a key stands for every other status but 200.
    statuses: Mapping[int | None, int]
    # Name the model's own status in two headers when it was replaced (W27).
    names_model_status: bool
    # x-request-id is replaced by a new one, x-ms-client-request-id cleaned (W11).
    owns_request_ids: bool
    # Cross-origin headers of the container reach the caller (W19).
    cors: bool
    forms: Mapping[Condition, PlatformForm]
    # Milliseconds that the model may take, and bytes that a body may have; None: no limit.
    timeout_ms: int
    max_body: int | None
    # Requests in flight, as a multiple of instances times requests at once, beyond which one is refused (W29).
    queue_factor: int
    # Seconds that a refused request waits in the queue first.
    queue_wait: float
    # Headers on every reply that came from a deployment.
    deployment_headers: tuple[str, ...] = ()
    extra: Fields = field(default_factory=list)


def canonical(name: str) -> str:
    """Spell a header name as Go does: `X-Ms-Request-Id`."""
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))


_SPELLINGS: dict[Spelling, Callable[[str], str]] = {"canonical": canonical, "lower": str.lower}
_CLIENT_ID_FORBIDDEN = re.compile(r"[^A-Za-z0-9_-]")
_CLIENT_ID_LENGTH = 40


class Edge:
    """One front end at work before one service."""

    def __init__(self, front: FrontEnd, name: str) -> None:
        self._front = front
        self._name = name
        self._names: dict[str, str | None] = {"Connection": None}

    def prepare(self, headers: dict[str, str]) -> None:
        """Change the request's headers as the front end does before it passes them on (W11)."""
        if self._front.owns_request_ids:
            headers["x-request-id"] = new_uuid()
            client_id = headers.get("x-ms-client-request-id")
            if client_id is not None:
                headers["x-ms-client-request-id"] = _CLIENT_ID_FORBIDDEN.sub("", client_id)[:_CLIENT_ID_LENGTH]

    def pass_on(self, reply: Response, deployment: str | None = None) -> Response:
        """Turn the container's reply into the front end's."""
        front = self._front
        status = reply.status
        if status != 200:
            mapped = front.statuses.get(status) or front.statuses.get(None)
            if mapped is not None:
                if front.names_model_status:
                    reply.headers.append(("ms-azureml-model-error-reason", "model_error"))
                    reply.headers.append(("ms-azureml-model-error-statuscode", str(status)))
                reply.status = status = mapped
            reply.reason = reason_phrase(status)
        else:
            reply.reason = "OK"
        names = self._names
        fields: Fields = []
        for name, value in reply.headers:
            try:
                spelt = names[name]
            except KeyError:
                spelt = names[name] = self._spell(name)
            if spelt is not None:
                fields.append((spelt, value))
        if front.server is not None:
            fields.insert(0, (names["Server"] or "Server", front.server))
        if deployment is not None:
            fields.extend((name, deployment) for name in front.deployment_headers)
        reply.headers = fields
        reply.close = False
        return reply

    def _spell(self, name: str) -> str | None:
        lower = name.lower()
        if lower == "server" and self._front.server is not None:
            return None
        if not self._front.cors and (lower.startswith("access-control-") or lower == "vary"):
            return None
        return _SPELLINGS[self._front.spelling](name)

    def form(self, condition: Condition, headers: Mapping[str, str]) -> Response:
        """Return the front end's own answer in a condition. Raises KeyError for one that it does not know."""
        front = self._front
        form = front.forms[condition]
        body = form.body.replace("{name}", self._name).encode()
        fields: Fields = [("Server", front.server)] if front.server else []
        fields.append(("Date", http_date()))
        if form.content_type:
            fields.append(("Content-Type", form.content_type))
        fields.append(("Content-Length", str(len(body))))
        fields.extend(form.headers)
        if form.ids:
            fields.extend(modern_ids(headers)[0])
        spell = _SPELLINGS[front.spelling]
        return Response(
            form.status,
            reason_phrase(form.status),
            [(spell(name), value) for name, value in fields],
            body,
            source="auth" if condition in ("unauthorized", "forbidden") else "front-end",
        )
