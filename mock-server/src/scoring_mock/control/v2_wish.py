"""What a caller wants an online endpoint to be, read from the body of a PUT and checked before anything changes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Self

from scoring_mock.control.calls import bad_request, member_object, member_text, member_texts
from scoring_mock.control.v2_entity import AUTH_MODES
from scoring_mock.http_types import SpecError
from scoring_mock.profiles.catalogue import AuthMode
from scoring_mock.service.spec import parse_key, parse_traffic

_NAME: Final = re.compile(r"[a-z][-a-z0-9]{1,30}[a-z0-9]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class EndpointWish:
    """An endpoint as it was asked for; what was left out has its default."""

    auth: AuthMode
    keys: dict[str, str]
    description: str | None
    properties: dict[str, str]
    tags: dict[str, str]
    identity: str
    compute: str | None
    traffic: dict[str, int]
    mirror_traffic: dict[str, Any]
    public_network_access: str

    @classmethod
    def read(cls, body: dict[str, Any]) -> Self:
        """Read the body of a PUT. Raises ControlError."""
        properties = member_object(body, "properties")
        try:
            keys = {
                member: parse_key(value, f"keys.{name}")
                for member, name in (("primary_key", "primaryKey"), ("secondary_key", "secondaryKey"))
                if (value := member_object(properties, "keys").get(name)) is not None
            }
            traffic = dict(parse_traffic(member_object(properties, "traffic"), "traffic"))
        except SpecError as error:
            raise bad_request(f"{error}.") from None
        return cls(
            auth=read_auth_mode(properties.get("authMode")),
            keys=keys,
            description=member_text(properties, "description"),
            properties=member_texts(properties, "properties"),
            tags=member_texts(body, "tags"),
            identity=member_text(member_object(body, "identity"), "type") or "SystemAssigned",
            compute=member_text(properties, "compute"),
            traffic=traffic,
            mirror_traffic=member_object(properties, "mirrorTraffic"),
            public_network_access=member_text(properties, "publicNetworkAccess") or "Enabled",
        )


def check_name(name: str) -> None:
    """Check the name of an endpoint or a deployment (facts 3.5). Raises ControlError."""
    if not _NAME.fullmatch(name):
        raise bad_request("The name must be 3 to 32 letters, digits and dashes, and start with a letter.")


def read_auth_mode(mode: Any) -> AuthMode:
    """Return the authentication for an authMode, in any case. Raises ControlError."""
    for auth, name in AUTH_MODES.items():
        if str(mode).lower() == name.lower():
            return auth
    if str(mode).lower() == "aadtoken":
        raise bad_request("authMode AADToken is not served by this mock; use Key or AMLToken.")
    raise bad_request("authMode must be Key or AMLToken.")
