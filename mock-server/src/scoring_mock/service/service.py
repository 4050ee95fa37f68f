"""One service: front end, container and script behind one address."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from scoring_mock.http_types import BodyProblem, Request, Response
from scoring_mock.profiles.call import Call, decoded_path, joined_headers, split_target
from scoring_mock.profiles.catalogue import AuthMode
from scoring_mock.profiles.container import Container
from scoring_mock.profiles.front_end import Condition, Edge
from scoring_mock.profiles.generations import GENERATIONS
from scoring_mock.replies import Reply
from scoring_mock.scripts.catalogue import make_script
from scoring_mock.service.answers import Answer, FormAnswer, ScriptAnswer
from scoring_mock.service.authentication import Authenticator
from scoring_mock.service.clock import Clock
from scoring_mock.service.hot_path import LARGEST_BODY, HotPath
from scoring_mock.service.keys import KeyName, KeyPair
from scoring_mock.service.spec import ServiceSpec
from scoring_mock.service.tokens import Token, TokenIssuer
from scoring_mock.service.traffic import Capacity, Traffic
from scoring_mock.swagger.legacy import article_schema

SCORE = "/score"
SWAGGER = "/swagger.json"
HEALTH = "/"


class Service:
    """A deployed model, as its callers see it.

    For the control plane to read: `name`, `profile`, `generation`, `auth`, `keys`, `tokens`, `clock`, `base` (the
    path that everything is below), `scoring_target`, `created` and `updated` (seconds since the epoch), `traffic`,
    and `details`, which it may change.
    """

    def __init__(self, spec: ServiceSpec) -> None:
        self.name = spec.name
        self.profile = spec.profile
        self.generation = GENERATIONS[spec.generation]
        self.script = spec.script
        self.details = spec.details
        self.listeners = spec.listeners
        self.connections = spec.connections
        self.created = self.updated = time.time()
        self.base = spec.profile.base.replace("{name}", spec.name)
        self.clock = Clock()
        self.keys = KeyPair(spec.primary_key, spec.secondary_key)
        self.tokens = TokenIssuer(
            spec.name,
            self.clock,
            refresh_after=spec.token_refresh_seconds,
            lifetime=spec.token_lifetime_seconds,
        )
        front = spec.profile.front
        self.traffic = Traffic(spec.deployments) if front and front.deployment_headers else None
        self._condition: Condition | None = spec.condition
        self._authenticator = Authenticator(spec.auth, self.keys, self.tokens)
        self._answers: dict[str, deque[Answer]] = {
            path: deque(answers)
            for path, answers in (
                (SCORE, spec.replies),
                (SWAGGER, spec.swagger_replies),
                (HEALTH, spec.health_replies),
            )
            if answers is not None
        }
        legacy_model = spec.generation == "legacy" and spec.script == "model"
        self._container = Container(
            self.generation,
            make_script(spec.script),
            spec.name if front else "ML service",
            schema=article_schema(int64_cells=spec.swagger_cells == "int64") if legacy_model else None,
            cors_origins=spec.cors_origins,
            scoring_timeout_ms=spec.scoring_timeout_ms,
        )
        self._edge = Edge(front, spec.name) if front else None
        self._timeout = (spec.request_timeout_ms or 0) / 1000
        self._max_body = spec.max_body_bytes
        self._bandwidth = spec.bandwidth
        self._capacity: Capacity | None = None
        if front and spec.max_concurrent_requests:
            at_once = spec.max_concurrent_requests * spec.instances * front.queue_factor
            self._capacity = Capacity(at_once, front.queue_wait)
        self.scoring_target = self.base + SCORE
        # A hot path is for the model of today in the usual state, without anything that delays or replaces answers.
        self._may_be_hot = (
            spec.script == "model"
            and spec.generation == "modern"
            and not spec.cors_origins
            and self._capacity is None
            and spec.bandwidth is None
            and (spec.max_body_bytes is None or spec.max_body_bytes >= LARGEST_BODY)
        )
        self._hot_path: HotPath | None = None
        self._choose_path()

    def _choose_path(self) -> None:
        """Make a hot path if the service is in the usual state; call it after every change."""
        self._hot_path = None
        usual = (
            self._may_be_hot
            and SCORE not in self._answers
            and self._condition is None
            and (self.traffic is None or list(self.traffic.shares.values()) == [100])
        )
        if usual and self.auth != "token":
            authorization = f"Bearer {self.keys.primary}" if self.auth == "key" else None
            self._hot_path = HotPath(
                self.scoring_target, self.handle_in_layers, self._authenticator.accepts, authorization
            )

    # -- what callers see ---------------------------------------------------------------------------------------

    def handle(self, request: Request) -> Response:
        """Answer one complete request. Synchronous, no I/O."""
        if self._hot_path is not None:
            reply = self._hot_path.answer(request)
            if reply is not None:
                return reply
        return self.handle_in_layers(request)

    def handle_in_layers(self, request: Request) -> Response:
        """Answer one complete request, however uncommon."""
        call = self._call(request)
        edge = self._edge
        if edge is None:
            if call.path in self._answers:
                return self._scripted(call, None)
            return self._container.answer(call)
        edge.prepare(call.headers)
        refused = self._refused(call, edge, len(request.body))
        return refused or self._admitted(call, edge)

    def handle_head(self, request: Request) -> Response | None:
        """Answer before the body was read, or None to read it first.

        A front end refuses a body that is announced to be too large (W32); a scripted reply may ask to go out early.
        """
        call = self._call(request)
        edge = self._edge
        if edge is not None:
            edge.prepare(call.headers)
            announced = call.headers.get("content-length", "0")
            size = int(announced) if announced.isdecimal() else 0
            refused = self._refused(call, edge, size)
            if refused is not None:
                # Wait for the body of a request that is refused for another reason: clients send it anyway.
                return refused if refused.status == 413 else None
        answers = self._answers.get(call.path)
        if answers and isinstance(answers[0], Reply) and answers[0].before_body:
            return self._scripted(call, edge)
        return None

    def handle_broken(self, request: Request, problem: BodyProblem) -> Response | None:
        """Go on with what came of a body, as the inference server does where a client reaches it directly.

        A front end passes no such request on (simulated, not observed). A client that gave up uses up no scripted
        answer.
        """
        if self._edge is not None or self._answers:
            return None
        call = self._call(request)
        call.unreadable = problem == "malformed"
        return self._container.answer(call)

    def _call(self, request: Request) -> Call:
        headers = joined_headers(request.headers)
        if request.target == self.scoring_target:
            return Call(request, request.method, SCORE, "", headers)
        path, query = split_target(request.target)
        path = path[len(self.base) :] if path.startswith(self.base) else path
        return Call(request, request.method, decoded_path(path), query, headers)

    def _refused(self, call: Call, edge: Edge, size: int) -> Response | None:
        """Return the front end's refusal, None when it lets the request through.

        Only scoring needs a credential; that health and swagger need none is simulated, not observed.
        """
        if call.path != SCORE:
            return None
        if not self._authenticator.accepts(call.headers.get("authorization")):
            return edge.form(call, "unauthorized")
        if self._max_body is not None and size > self._max_body:
            reply = edge.form(call, "too-large")
            reply.close = True
            return reply
        return None

    def _admitted(self, call: Call, edge: Edge) -> Response:
        """Answer a request that the front end lets through."""
        if call.path in self._answers:
            return self._scripted(call, edge)
        if call.path != SCORE:
            return edge.pass_on(call, self._container.answer(call))
        if self._condition is not None:
            return self._form(call, edge, self._condition)
        return self._scored(call, edge)

    def _scored(self, call: Call, edge: Edge, result: ScriptAnswer | None = None) -> Response:
        """Let the container answer, within the time and the capacity that the front end allows."""
        deployment = None
        if self.traffic is not None:
            deployment = self.traffic.choose(call.headers.get("azureml-model-deployment"))
            if deployment is None:
                return edge.form(call, "no-deployment")  # W30
        waited = 0.0
        if self._capacity is not None:
            turn = self._capacity.enter()
            if turn is None:
                return edge.form(call, "overloaded")  # W29
            waited = turn
        reply = self._container.answer(call) if result is None else self._container.answer_with(call, result.result)
        if self._timeout and reply.delay > self._timeout:
            # The model goes on: its place is free when it ends, not when the caller gives up.
            model_delay = reply.delay
            reply = self._form(call, edge, "timeout")  # W28
            if self._capacity is not None:
                self._capacity.hold(waited + model_delay)
            reply.delay += waited
            return reply
        reply.delay += waited
        if self._capacity is not None and reply.delay:
            self._capacity.hold(reply.delay)
        reply = edge.pass_on(call, reply, deployment)
        return self._throttled(call, reply) if self._bandwidth is not None else reply

    def _form(self, call: Call, edge: Edge, condition: Condition) -> Response:
        reply = edge.form(call, condition)
        if condition == "timeout":
            reply.delay = self._timeout
        return reply

    def _throttled(self, call: Call, reply: Response) -> Response:
        """Delay request and reply, and say so in two trailers (W34)."""
        bandwidth = self._bandwidth
        if bandwidth is None or call.request.version < (1, 1) or call.method == "HEAD":
            return reply
        reply.delay += (bandwidth.request_ms + bandwidth.response_ms) / 1000
        if reply.chunks is None:
            reply.headers = [field for field in reply.headers if field[0].lower() != "content-length"]
            reply.headers.append(("transfer-encoding", "chunked"))
            reply.chunks = [reply.body] if reply.body else []
        reply.trailers = [
            ("ms-azureml-bandwidth-request-delay-ms", str(bandwidth.request_ms)),
            ("ms-azureml-bandwidth-response-delay-ms", str(bandwidth.response_ms)),
        ]
        return reply

    def _scripted(self, call: Call, edge: Edge | None) -> Response:
        """Play the next scripted answer."""
        answers = self._answers[call.path]
        if not answers:
            body = b'{"message": "There is no scripted reply left for this request."}'
            headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
            spent = Response(500, "Internal Server Error", headers, body, source="reply", unexpected=True)
            return _answer_to(call, spent)
        answer = answers.popleft()
        if isinstance(answer, FormAnswer):
            assert edge is not None  # checked when the answer was read
            return self._form(call, edge, answer.condition)
        if isinstance(answer, ScriptAnswer):
            if edge is None:
                return self._container.answer_with(call, answer.result)
            return self._scored(call, edge, answer)
        return _answer_to(call, answer.response())

    # -- what admin and control plane see -----------------------------------------------------------------------

    @property
    def auth(self) -> AuthMode:
        """The authentication in force."""
        return self._authenticator.mode

    def set_auth(self, mode: AuthMode) -> None:
        """Change the authentication. Raises ValueError for a mode that the profile does not have (W22)."""
        if mode not in self.profile.auth_modes:
            modes = ", ".join(self.profile.auth_modes)
            raise ValueError(f"the profile {self.profile.name} has no authentication {mode!r}, only {modes}")
        self._authenticator.mode = mode
        self._choose_path()
        self.touch()

    def regenerate_key(self, name: KeyName, value: str | None = None) -> None:
        """Replace one key by `value`, or by a random one; the old one is refused from now on (W23)."""
        self._authenticator.regenerate_key(name, value)
        self.touch()

    def issue_token(self) -> Token:
        """Return a new token. Raises ValueError when the service does not take tokens."""
        if self.auth != "token":
            raise ValueError(f"the service {self.name} has authentication {self.auth}, not token")
        return self.tokens.issue()

    def set_traffic(self, shares: Iterable[tuple[str, int]]) -> None:
        """Replace the deployments of an endpoint and their shares, in percent (W30)."""
        self.traffic = Traffic(shares)
        self._choose_path()
        self.touch()

    @property
    def condition(self) -> Condition | None:
        """What the front end answers to every scoring request, None when it lets them through."""
        return self._condition

    def set_condition(self, condition: Condition | None) -> None:
        """Let the front end answer by itself, or (None) no longer."""
        self._condition = condition
        self._choose_path()

    def add_replies(self, answers: list[Answer], path: str = SCORE) -> int:
        """Add scripted answers for a path; returns how many are waiting there now."""
        waiting = self._answers.setdefault(path, deque())
        waiting.extend(answers)
        self._choose_path()
        return len(waiting)

    def touch(self) -> None:
        """Remember that the service was changed just now."""
        self.updated = time.time()

    def describe(self, bases: Mapping[str, str]) -> dict[str, Any]:
        """Return the `service` object of the admin plane; `bases` has the base URL of each listener by name."""
        paths = {"scoring": self.base + SCORE, "swagger": self.base + SWAGGER, "health": self.base + HEALTH}
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


def _answer_to(call: Call, reply: Response) -> Response:
    if call.method == "HEAD":
        reply.body, reply.chunks = b"", None
    return reply
