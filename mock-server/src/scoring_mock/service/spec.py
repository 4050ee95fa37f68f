"""What an admin asks for when a service is made, read from JSON; one clear sentence for each mistake."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args

from scoring_mock.http_types import SpecError
from scoring_mock.profiles.catalogue import PROFILES, AuthMode, GenerationName, Profile, ProfileName
from scoring_mock.replies import Reply, parse_replies
from scoring_mock.scripts.catalogue import SCRIPTS

_NAME = re.compile(r"[a-z0-9-]{1,64}")
_KEY = re.compile(r"[\x21-\x7e]{1,1024}")
_MEMBERS = frozenset(
    ("name", "profile", "server_generation", "auth", "primary_key", "secondary_key", "script", "replies")
)


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
    replies: tuple[Reply, ...] | None


def parse_spec(value: Any, where: str = "service") -> ServiceSpec:
    """Read one service spec. Raises SpecError; `where` names the place in its message."""
    if not isinstance(value, dict):
        raise SpecError(f"{where} must be an object")
    unknown = sorted(set(value) - _MEMBERS)
    if unknown:
        raise SpecError(f"{where} has an unknown member {unknown[0]!r}; known are {', '.join(sorted(_MEMBERS))}")
    name = value.get("name", None)
    if name is None:
        name = f"service-{secrets.token_hex(6)}"
    elif not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SpecError(f"{where}.name must be 1 to 64 of a-z, 0-9 and -")
    profile = PROFILES[cast(ProfileName, _choice(value, "profile", where, get_args(ProfileName), "aks-v1"))]
    generation = _choice(value, "server_generation", where, profile.generations, profile.generations[0])
    auth = _auth(value, where, profile)
    return ServiceSpec(
        name=name,
        profile=profile,
        generation=cast(GenerationName, generation),
        auth=auth,
        primary_key=_key(value, "primary_key", where, auth),
        secondary_key=_key(value, "secondary_key", where, auth),
        script=_choice(value, "script", where, tuple(SCRIPTS), "model"),
        replies=tuple(parse_replies(value["replies"], f"{where}.replies")) if "replies" in value else None,
    )


def _choice(value: Mapping[str, Any], member: str, where: str, choices: tuple[str, ...], default: str) -> str:
    chosen = value.get(member, default)
    if chosen not in choices:
        raise SpecError(f"{where}.{member} must be one of {', '.join(choices)}")
    return cast(str, chosen)


def _auth(value: Mapping[str, Any], where: str, profile: Profile) -> AuthMode:
    auth = value.get("auth", profile.default_auth)
    if auth not in get_args(AuthMode):
        raise SpecError(f"{where}.auth must be one of {', '.join(get_args(AuthMode))}")
    if auth not in profile.auth_modes:
        raise SpecError(
            f"{where}.auth: the profile {profile.name} has no authentication {auth!r}, only "
            f"{', '.join(profile.auth_modes)}"
        )
    return cast(AuthMode, auth)


def _key(value: Mapping[str, Any], member: str, where: str, auth: AuthMode) -> str | None:
    if member not in value:
        return None
    if auth != "key":
        raise SpecError(f"{where}.{member} goes only with auth key; this service has {auth}")
    key = value[member]
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise SpecError(f"{where}.{member} must be 1 to 1024 printable ASCII characters without blanks")
    return key
