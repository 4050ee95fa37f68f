"""One service: front end, container and script behind one address."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from scoring_mock.http_types import Request, Response
from scoring_mock.profiles.call import Call, decoded_path, joined_headers, split_target
from scoring_mock.profiles.container import Container
from scoring_mock.profiles.front_end import Edge
from scoring_mock.profiles.generations import GENERATIONS
from scoring_mock.replies import Reply
from scoring_mock.scripts.catalogue import SCRIPTS
from scoring_mock.service.authentication import Authenticator
from scoring_mock.service.clock import Clock
from scoring_mock.service.keys import KeyPair
from scoring_mock.service.spec import ServiceSpec

_SCORE = "/score"


class Service:
    """A deployed model, as its callers see it.

    `name`, `profile`, `generation`, `auth`, `keys` and `clock` are for the control plane to read.
    """

    def __init__(self, spec: ServiceSpec) -> None:
        self.name = spec.name
        self.profile = spec.profile
        self.generation = GENERATIONS[spec.generation]
        self.clock = Clock()
        self.keys = KeyPair(spec.primary_key, spec.secondary_key)
        self.base = spec.profile.base.replace("{name}", spec.name)
        self._authenticator = Authenticator(spec.auth, self.keys, self.clock)
        self._replies: deque[Reply] | None = None if spec.replies is None else deque(spec.replies)
        titled = spec.profile.front is not None
        self._container = Container(self.generation, SCRIPTS[spec.script](), spec.name if titled else "ML service")
        self._edge = Edge(spec.profile.front, spec.name) if spec.profile.front else None
        self._scoring_target = self.base + _SCORE

    @property
    def auth(self) -> str:
        """The authentication in force: `off`, `key` or `token`."""
        return self._authenticator.mode

    def handle(self, request: Request) -> Response:
        """Answer one complete request. Synchronous, no I/O."""
        headers = joined_headers(request.headers)
        if request.target == self._scoring_target:
            call = Call(request, request.method, _SCORE, "", headers)
        else:
            path, query = split_target(request.target)
            if self.base:
                path = path[len(self.base) :] if path.startswith(self.base) else path
            call = Call(request, request.method, decoded_path(path), query, headers)
        edge = self._edge
        if edge is None:
            return self._reply(call) or self._container.answer(call)
        edge.prepare(headers)
        if call.path == _SCORE:
            if not self._authenticator.accepts(headers.get("authorization")):
                return edge.form("unauthorized", headers)
            if self._replies is not None:
                return self._next_reply(call)
        return edge.pass_on(self._container.answer(call))

    def handle_head(self, request: Request) -> Response | None:  # noqa: ARG002
        """Answer before the body was read, or None to read it first."""
        return None

    def _reply(self, call: Call) -> Response | None:
        return self._next_reply(call) if self._replies is not None and call.path == _SCORE else None

    def _next_reply(self, call: Call) -> Response:
        if self._replies:
            response = self._replies.popleft().response()
        else:
            body = b'{"message": "There is no scripted reply left for this request."}'
            headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
            response = Response(500, "Internal Server Error", headers, body, source="reply", unexpected=True)
        if call.method == "HEAD":
            response.body = b""
        return response

    def describe(self, bases: Mapping[str, str]) -> dict[str, Any]:
        """Return the `service` object of the admin plane; `bases` has the base URL of each listener by name."""
        paths = {"scoring": self.base + _SCORE, "swagger": self.base + "/swagger.json", "health": self.base + "/"}
        described: dict[str, Any] = {
            "name": self.name,
            "profile": self.profile.name,
            "server_generation": self.generation.name,
            "auth": self.auth,
        }
        if self.auth == "key":
            described |= {"primary_key": self.keys.primary, "secondary_key": self.keys.secondary}
        described |= {f"{use}_path": path for use, path in paths.items()}
        described["uris"] = {
            listener: {use: base + path for use, path in paths.items()} for listener, base in bases.items()
        }
        return described

    def act(self, act: Any) -> dict[str, Any]:
        """Do one admin act."""
        raise NotImplementedError
