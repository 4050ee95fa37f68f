"""The layer in front of the container: status mapping, headers, and the answers that it gives by itself.

What differs from profile to profile is data (`FrontEnd`); the code is the same for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from scoring_mock.http_types import Headers, Response, reason_phrase
from scoring_mock.profiles.call import Call, asks_to_close
from scoring_mock.profiles.http_date import http_date
from scoring_mock.profiles.request_ids import modern_ids, new_uuid

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
    "gateway-page",
]
"""What a front end answers by itself."""


@dataclass(frozen=True, slots=True)
class PlatformForm:
    """One answer of a front end's own. `{name}` in the body is the service's name.

    `ids` False: a page of a gateway, without any id (W33). `simulated`: neither measured, documented nor recorded in
    these bytes.
    """

    status: int
    content_type: str
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
    # Status of the model to status of the reply; None as a key stands for every status but 200.
    statuses: Mapping[int | None, int]
    # The model's own status goes into two headers when it was replaced (W27).
    names_model_status: bool
    # x-request-id is replaced by a new one, x-ms-client-request-id cleaned (W11).
    owns_request_ids: bool
    # The ids on the front end's own answers.
    form_ids: tuple[str, ...]
    # Cross-origin headers of the container reach the caller (W19).
    cors: bool
    forms: Mapping[Condition, PlatformForm]
    # Milliseconds that the model may take (W28), and bytes that a body may have (W32); None: no limit.
    timeout_ms: int
    max_body_bytes: int | None
    # Requests in flight, in multiples of what the model takes at once, before one is refused (W29), and the seconds
    # that this one has waited by then.
    queue_factor: int
    queue_wait: float
    # The Connection header of replies after which the connection stays open (W13).
    keep_alive: str | None = None
    # Headers that carry the name of the deployment, on its replies; none: there are no deployments to choose (W30).
    deployment_headers: tuple[str, ...] = ()


def canonical(name: str) -> str:
    """Spell a header name as Go does: `X-Ms-Request-Id`."""
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))


_SPELLINGS: dict[Spelling, Callable[[str], str]] = {"canonical": canonical, "lower": str.lower}
_NOT_IN_CLIENT_IDS = re.compile(r"[^A-Za-z0-9_-]")
_CLIENT_ID_LENGTH = 40


class Edge:
    """One front end at work before one service."""

    def __init__(self, front: FrontEnd, service: str) -> None:
        self._front = front
        self._service = service
        self._spell = _SPELLINGS[front.spelling]
        # Header names of the container to those of the reply, None for what is not passed on. Filled as they come.
        self._names: dict[str, str | None] = {"Connection": None}
        self._deployment_names = [self._spell(name) for name in front.deployment_headers]
        self._own_head: Headers = [(self._spell("Server"), front.server)] if front.server else []
        self._connection = self._spell("Connection")

    def prepare(self, headers: dict[str, str]) -> None:
        """Change the request's headers as the front end does before it passes them on (W11)."""
        if self._front.owns_request_ids:
            headers["x-request-id"] = new_uuid()
            client_id = headers.get("x-ms-client-request-id")
            if client_id is not None:
                client_id = _NOT_IN_CLIENT_IDS.sub("", client_id)[:_CLIENT_ID_LENGTH]
                headers["x-ms-client-request-id"] = client_id

    def pass_on(self, call: Call, reply: Response, deployment: str | None = None) -> Response:
        """Turn the container's reply into the front end's."""
        names = self._names
        fields = self._own_head.copy()
        for name, value in reply.headers:
            try:
                spelt = names[name]
            except KeyError:
                spelt = names[name] = self._passed_name(name)
            if spelt is not None:
                fields.append((spelt, value))
        if reply.status != 200:
            self._map_status(reply, fields)
        reply.reason = reason_phrase(reply.status)
        if deployment is not None:
            fields += [(name, deployment) for name in self._deployment_names]
        reply.headers = fields
        return self._finish(call, reply)

    def _map_status(self, reply: Response, fields: Headers) -> None:
        front = self._front
        status = front.statuses.get(reply.status) or front.statuses.get(None)
        if status is None:
            return
        if front.names_model_status:
            fields.append((self._spell("ms-azureml-model-error-reason"), "model_error"))
            fields.append((self._spell("ms-azureml-model-error-statuscode"), str(reply.status)))
        reply.status = status

    def _passed_name(self, name: str) -> str | None:
        lower = name.lower()
        if lower == "server" and self._own_head:
            return None
        if not self._front.cors and (lower.startswith("access-control-") or lower == "vary"):
            return None  # W19
        return self._spell(name)

    def _finish(self, call: Call, reply: Response) -> Response:
        """Say what becomes of the connection (W13)."""
        reply.close = asks_to_close(call)
        if reply.close:
            reply.headers.append((self._connection, "close"))
        elif self._front.keep_alive is not None:
            reply.headers.append((self._connection, self._front.keep_alive))
        return reply

    def form(self, call: Call, condition: Condition) -> Response:
        """Return the front end's own answer in a condition. Raises KeyError for one that it does not know."""
        front = self._front
        form = front.forms[condition]
        body = form.body.replace("{name}", self._service).encode()
        spell = self._spell
        fields = self._own_head.copy()
        fields.append((spell("Date"), http_date()))
        fields.append((spell("Content-Type"), form.content_type))
        fields.append((spell("Content-Length"), str(len(body))))
        fields += [(spell(name), value) for name, value in form.headers]
        if form.ids:
            ids = modern_ids(call.headers)[0]
            fields += [(spell(name), value) for name, value in ids if name in front.form_ids]
        source: Literal["auth", "front-end"] = "auth" if condition in ("unauthorized", "forbidden") else "front-end"
        reply = Response(form.status, reason_phrase(form.status), fields, body, source=source)
        if call.method == "HEAD":
            reply.body = b""
        if call.request.version < (1, 1):
            reply.version = "HTTP/1.0"
        return self._finish(call, reply)
