"""Acts of the admin plane on one service: `POST /services/{name}/act`.

An act is an object whose member `act` says what to do. Every answer is an object.

| act | members | answer |
|---|---|---|
| `regenerate` | `key`: `primary` or `secondary`; `value`: the new key (random) | `primary_key`, `secondary_key` |
| `issue-token` | | `token`, `token_type` (`Bearer`), `refresh_by`, `expires` (whole seconds since the epoch) |
| `expire-tokens` | | `expired`: how many tokens there were |
| `move-clock` | `seconds`, negative for back | `now`, the service's time in seconds since the epoch |
| `set-auth` | `auth`: `off`, `key` or `token` | `auth`, and the keys with `key` |
| `set-condition` | `condition`: a name that the profile knows, or null to end it | `condition` |
| `set-deployments` | `deployments`: shares by name (`managed-v2`) | `deployments` |
| `add-replies` | `replies`; `to`: `score` (default), `swagger` or `health` | `waiting`: how many there are now |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, get_args

from scoring_mock.http_types import SpecError
from scoring_mock.profiles.catalogue import AuthMode
from scoring_mock.service.answers import parse_answers, parse_condition
from scoring_mock.service.keys import KEY_NAMES
from scoring_mock.service.service import HEALTH, SCORE, SWAGGER, Service
from scoring_mock.service.spec import parse_key, parse_traffic

_PATHS = {"score": SCORE, "swagger": SWAGGER, "health": HEALTH}
_MOST_SECONDS = 10 * 365 * 24 * 3600


def perform(service: Service, act: Any) -> dict[str, Any]:
    """Do one act. Raises SpecError when it is not one, or makes no sense for this service."""
    if not isinstance(act, dict) or act.get("act") not in tuple(ACTS):
        raise SpecError(f"act.act must be one of {', '.join(ACTS)}")
    members, do = ACTS[act["act"]]
    unknown = sorted(set(act) - members - {"act"})
    if unknown:
        raise SpecError(f"act has an unknown member {unknown[0]!r}")
    return do(service, act)


def _regenerate_key(service: Service, act: dict[str, Any]) -> dict[str, Any]:
    if act.get("key") not in KEY_NAMES:
        raise SpecError(f"act.key must be one of {', '.join(KEY_NAMES)}")
    if service.auth != "key":
        raise SpecError(f"act: the service {service.name} has authentication {service.auth}, not key")
    value = act.get("value")
    service.regenerate_key(act["key"], None if value is None else parse_key(value, "act.value"))
    return _keys(service)


def _keys(service: Service) -> dict[str, Any]:
    return {"primary_key": service.keys.primary, "secondary_key": service.keys.secondary}


def _issue_token(service: Service, _: dict[str, Any]) -> dict[str, Any]:
    try:
        token = service.issue_token()
    except ValueError as error:
        raise SpecError(f"act: {error}") from None
    return {
        "token": token.text,
        "token_type": "Bearer",
        "refresh_by": token.refresh_by,
        "expires": token.expires,
    }


def _expire_tokens(service: Service, _: dict[str, Any]) -> dict[str, Any]:
    return {"expired": service.tokens.expire_all()}


def _move_clock(service: Service, act: dict[str, Any]) -> dict[str, Any]:
    seconds = act.get("seconds")
    if not isinstance(seconds, int | float) or seconds is True or not abs(seconds) <= _MOST_SECONDS:
        raise SpecError(f"act.seconds must be a number from -{_MOST_SECONDS} to {_MOST_SECONDS}")
    return {"now": service.clock.move(seconds)}


def _set_auth(service: Service, act: dict[str, Any]) -> dict[str, Any]:
    modes = get_args(AuthMode)
    if act.get("auth") not in modes:
        raise SpecError(f"act.auth must be one of {', '.join(modes)}")
    try:
        service.set_auth(act["auth"])
    except ValueError as error:
        raise SpecError(f"act.auth: {error}") from None
    return {"auth": service.auth, **(_keys(service) if service.auth == "key" else {})}


def _set_condition(service: Service, act: dict[str, Any]) -> dict[str, Any]:
    condition = act.get("condition")
    service.set_condition(None if condition is None else parse_condition(condition, "act.condition", service.profile))
    return {"condition": service.condition}


def _set_deployments(service: Service, act: dict[str, Any]) -> dict[str, Any]:
    if service.traffic is None:
        raise SpecError(f"act: the profile {service.profile.name} has no deployments")
    shares = parse_traffic(act.get("deployments"), "act.deployments")
    service.set_traffic(shares)
    return {"deployments": dict(shares)}


def _add_replies(service: Service, act: dict[str, Any]) -> dict[str, Any]:
    if act.get("to", "score") not in tuple(_PATHS):
        raise SpecError(f"act.to must be one of {', '.join(_PATHS)}")
    answers = parse_answers(act.get("replies"), "act.replies", service.profile)
    return {"waiting": service.add_replies(answers, _PATHS[act.get("to", "score")])}


ACTS: Final[dict[str, tuple[set[str], Callable[[Service, dict[str, Any]], dict[str, Any]]]]] = {
    "regenerate": ({"key", "value"}, _regenerate_key),
    "issue-token": (set(), _issue_token),
    "expire-tokens": (set(), _expire_tokens),
    "move-clock": ({"seconds"}, _move_clock),
    "set-auth": ({"auth"}, _set_auth),
    "set-condition": ({"condition"}, _set_condition),
    "set-deployments": ({"deployments"}, _set_deployments),
    "add-replies": ({"replies", "to"}, _add_replies),
}
