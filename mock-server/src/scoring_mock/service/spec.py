"""What an admin asks for when a service is made, read from JSON; one clear sentence for each mistake."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from scoring_mock.http_types import ConnectionFault, SpecError
from scoring_mock.profiles.catalogue import PROFILES, AuthMode, GenerationName, Profile, ProfileName
from scoring_mock.profiles.front_end import Condition
from scoring_mock.replies import parse_connections
from scoring_mock.scripts.catalogue import SCRIPTS
from scoring_mock.service.answers import Answer, parse_answers, parse_condition
from scoring_mock.service.randomness import random_hex
from scoring_mock.service.tokens import LIFETIME, REFRESH_AFTER

Cells = Literal["number", "int64"]

_NAME = re.compile(r"[a-z0-9-]{1,64}")
_KEY = re.compile(r"[\x21-\x7e]{1,1024}")
_ORIGIN = re.compile(r"[\x21-\x7e]{1,1024}")
_DAY = 24 * 3600
_HOUR_MS = 3600 * 1000


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """Milliseconds by which a managed endpoint delays request and reply when they are too large for it (W34)."""

    request_ms: int
    response_ms: int


@dataclass(slots=True)
class Details:
    """What the control plane knows of a service and its callers do not see. It may be changed at any time."""

    description: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    model_name: str = "sklearn_regression_model.pkl"
    model_version: int = 1
    image_name: str | None = None


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """A checked wish for a service: defaults are the profile's, names and keys that were not given are random."""

    name: str
    profile: Profile
    generation: GenerationName
    auth: AuthMode
    primary_key: str | None
    secondary_key: str | None
    script: str
    replies: tuple[Answer, ...] | None
    swagger_replies: tuple[Answer, ...] | None
    health_replies: tuple[Answer, ...] | None
    swagger_cells: Cells
    cors_origins: tuple[str, ...]
    scoring_timeout_ms: int
    request_timeout_ms: int | None
    max_body_bytes: int | None
    max_concurrent_requests: int | None
    instances: int
    deployments: tuple[tuple[str, int], ...]
    bandwidth: Bandwidth | None
    condition: Condition | None
    token_refresh_seconds: float
    token_lifetime_seconds: float
    details: Details
    listeners: tuple[str, ...] | None
    connections: tuple[ConnectionFault | None, ...]


# Every member of a spec; ADMIN.md describes them.
_MEMBERS = frozenset(
    (
        "name",
        "profile",
        "server_generation",
        "auth",
        "primary_key",
        "secondary_key",
        "script",
        "replies",
        "swagger_replies",
        "health_replies",
        "swagger_cells",
        "cors_origins",
        "scoring_timeout_ms",
        "request_timeout_ms",
        "max_body_bytes",
        "max_concurrent_requests",
        "instances",
        "deployments",
        "bandwidth_delay_ms",
        "condition",
        "token_refresh_seconds",
        "token_lifetime_seconds",
        "description",
        "tags",
        "properties",
        "model_name",
        "model_version",
        "image_name",
        "listeners",
        "connections",
    )
)


def parse_spec(value: Any, where: str = "service") -> ServiceSpec:
    """Read one service spec. Raises SpecError; `where` names the place in its message."""
    if not isinstance(value, dict):
        raise SpecError(f"{where} must be an object")
    unknown = sorted(set(value) - _MEMBERS)
    if unknown:
        raise SpecError(f"{where} has an unknown member {unknown[0]!r}; known are {', '.join(sorted(_MEMBERS))}")
    read = _Reader(value, where)
    profile = PROFILES[cast(ProfileName, read.choice("profile", get_args(ProfileName), "aks-v1"))]
    generation = cast(GenerationName, read.choice("server_generation", profile.generations, "modern"))
    auth = _auth(read, profile)
    script = read.choice("script", tuple(SCRIPTS), "model")
    front = profile.front
    if front is None:
        read.refuse("request_timeout_ms", "max_body_bytes", "max_concurrent_requests", "instances", "condition")
    if front is None or not front.deployment_headers:
        read.refuse("deployments", "bandwidth_delay_ms")
    if auth != "token":
        read.refuse("token_refresh_seconds", "token_lifetime_seconds")
    return ServiceSpec(
        name=_name(read),
        profile=profile,
        generation=generation,
        auth=auth,
        primary_key=_key(read, "primary_key", auth),
        secondary_key=_key(read, "secondary_key", auth),
        script=script,
        replies=_answers(read, "replies", profile),
        swagger_replies=_answers(read, "swagger_replies", profile),
        health_replies=_answers(read, "health_replies", profile),
        swagger_cells=_cells(read, generation, script),
        cors_origins=_origins(read, generation),
        scoring_timeout_ms=read.integer("scoring_timeout_ms", 1, _HOUR_MS, _HOUR_MS),
        request_timeout_ms=read.optional_integer(
            "request_timeout_ms", 1, _HOUR_MS, front.timeout_ms if front else None
        ),
        max_body_bytes=read.optional_integer("max_body_bytes", 1, 2**40, front.max_body_bytes if front else None),
        max_concurrent_requests=read.optional_integer("max_concurrent_requests", 1, 10_000, None),
        instances=read.integer("instances", 1, 1_000, 1),
        deployments=_deployments(read, profile),
        bandwidth=_bandwidth(read),
        condition=parse_condition(value["condition"], f"{where}.condition", profile)
        if value.get("condition") is not None
        else None,
        token_refresh_seconds=read.seconds("token_refresh_seconds", REFRESH_AFTER),
        token_lifetime_seconds=read.seconds("token_lifetime_seconds", LIFETIME),
        details=_details(read),
        listeners=_listeners(read, profile),
        connections=_connections(read),
    )


class _Reader:
    """Reads members of one JSON object, with one kind of message for all of them."""

    def __init__(self, value: Mapping[str, Any], where: str) -> None:
        self.value = value
        self.where = where

    def choice(self, member: str, choices: tuple[str, ...], default: str) -> str:
        chosen = self.value.get(member, default)
        if chosen not in choices:
            raise SpecError(f"{self.where}.{member} must be one of {', '.join(choices)}")
        return cast(str, chosen)

    def integer(self, member: str, low: int, high: int, default: int) -> int:
        number = self.value.get(member, default)
        if type(number) is not int or not low <= number <= high:
            raise SpecError(f"{self.where}.{member} must be a whole number from {low} to {high}")
        return number

    def optional_integer(self, member: str, low: int, high: int, default: int | None) -> int | None:
        if self.value.get(member, default) is None:
            return None
        return self.integer(member, low, high, default or low)

    def seconds(self, member: str, default: float) -> float:
        number = self.value.get(member, default)
        if type(number) not in (int, float) or not 0 < number <= 365 * _DAY:
            raise SpecError(f"{self.where}.{member} must be a number of seconds, more than 0, at most a year")
        return float(number)

    def text(self, member: str) -> str | None:
        text = self.value.get(member)
        if text is not None and not isinstance(text, str):
            raise SpecError(f"{self.where}.{member} must be a string")
        return text

    def texts(self, member: str) -> dict[str, str]:
        texts = self.value.get(member, {})
        if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
            raise SpecError(f"{self.where}.{member} must be an object of strings")
        return dict(texts)

    def refuse(self, *members: str) -> None:
        for member in members:
            if member in self.value:
                raise SpecError(f"{self.where}.{member} makes no sense for this profile and authentication")


def _name(read: _Reader) -> str:
    name = read.value.get("name")
    if name is None:
        return f"service-{random_hex(12)}"
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SpecError(f"{read.where}.name must be 1 to 64 of a-z, 0-9 and -")
    return name


def _auth(read: _Reader, profile: Profile) -> AuthMode:
    auth = cast(AuthMode, read.choice("auth", get_args(AuthMode), profile.default_auth))
    if auth not in profile.auth_modes:
        raise SpecError(
            f"{read.where}.auth: the profile {profile.name} has no authentication {auth!r}, only "
            f"{', '.join(profile.auth_modes)}"
        )
    return auth


def _key(read: _Reader, member: str, auth: AuthMode) -> str | None:
    if member not in read.value:
        return None
    if auth != "key":
        raise SpecError(f"{read.where}.{member} goes only with auth key; this service has {auth}")
    return parse_key(read.value[member], f"{read.where}.{member}")


def parse_key(key: Any, where: str) -> str:
    """Read a key that an admin wants. Raises SpecError."""
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise SpecError(f"{where} must be 1 to 1024 printable ASCII characters without blanks")
    return key


def _answers(read: _Reader, member: str, profile: Profile) -> tuple[Answer, ...] | None:
    if member not in read.value:
        return None
    return tuple(parse_answers(read.value[member], f"{read.where}.{member}", profile))


def _cells(read: _Reader, generation: GenerationName, script: str) -> Cells:
    cells = read.choice("swagger_cells", get_args(Cells), "number")
    if cells == "int64" and (generation != "legacy" or script != "model"):
        raise SpecError(
            f"{read.where}.swagger_cells int64 is the article's document: it goes with server_generation legacy "
            "and script model"
        )
    return cast(Cells, cells)


def _origins(read: _Reader, generation: GenerationName) -> tuple[str, ...]:
    origins = read.value.get("cors_origins", [])
    if not isinstance(origins, list) or not all(isinstance(o, str) and _ORIGIN.fullmatch(o) for o in origins):
        raise SpecError(f"{read.where}.cors_origins must be a list of origins such as https://www.example.com, or *")
    if origins and generation == "legacy":
        raise SpecError(f"{read.where}.cors_origins: the legacy server has no cross-origin headers")
    for origin in origins:
        try:
            re.compile(".*" if origin == "*" else origin)
        except re.error as error:
            raise SpecError(f"{read.where}.cors_origins: {origin!r} is no regular expression: {error}") from None
    return tuple(origins)


def _deployments(read: _Reader, profile: Profile) -> tuple[tuple[str, int], ...]:
    if profile.front is None or not profile.front.deployment_headers:
        return ()
    return parse_traffic(read.value.get("deployments", {"blue": 100}), f"{read.where}.deployments")


def parse_traffic(value: Any, where: str) -> tuple[tuple[str, int], ...]:
    """Read deployments and their shares of the traffic, in percent. Raises SpecError."""
    if not isinstance(value, dict) or not all(
        _NAME.fullmatch(name) and type(share) is int and 0 <= share <= 100 for name, share in value.items()
    ):
        raise SpecError(f'{where} must be an object of shares from 0 to 100, such as {{"blue": 90, "green": 10}}')
    if sum(value.values()) not in (0, 100):
        raise SpecError(f"{where}: the shares must add up to 100, or to 0 for no traffic at all")
    return tuple(value.items())


def _bandwidth(read: _Reader) -> Bandwidth | None:
    value = read.value.get("bandwidth_delay_ms")
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != {"request", "response"}:
        raise SpecError(f"{read.where}.bandwidth_delay_ms must be an object with request and response")
    inner = _Reader(value, f"{read.where}.bandwidth_delay_ms")
    return Bandwidth(inner.integer("request", 0, 60_000, 0), inner.integer("response", 0, 60_000, 0))


def _listeners(read: _Reader, profile: Profile) -> tuple[str, ...] | None:
    names = read.value.get("listeners")
    if names is None:
        if "connections" in read.value and not profile.dedicated:
            raise SpecError(f"{read.where}.connections goes only with listeners of the service's own")
        return None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise SpecError(f"{read.where}.listeners must be a list of names of listeners, at least one")
    return tuple(names)


def _connections(read: _Reader) -> tuple[ConnectionFault | None, ...]:
    if "connections" not in read.value:
        return ()
    return tuple(parse_connections(read.value["connections"], f"{read.where}.connections"))


def _details(read: _Reader) -> Details:
    defaults = Details()
    return Details(
        description=read.text("description"),
        tags=read.texts("tags"),
        properties=read.texts("properties"),
        model_name=read.text("model_name") or defaults.model_name,
        model_version=read.integer("model_version", 1, 2**31, defaults.model_version),
        image_name=read.text("image_name"),
    )
