"""Scripted answers of a service: raw replies, a front end's own forms, and results of the scoring script."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scoring_mock.http_types import SpecError
from scoring_mock.profiles.catalogue import Profile
from scoring_mock.profiles.front_end import Condition
from scoring_mock.replies import Reply, parse_reply
from scoring_mock.scripts.script import AmlResponse, Slept


@dataclass(frozen=True, slots=True)
class FormAnswer:
    """The front end's own answer in a condition, in the bytes of the profile."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class ScriptAnswer:
    """What run() returns; container and front end then do to it what they do to every result."""

    result: object


Answer = Reply | FormAnswer | ScriptAnswer

_APPLICATION_ERROR = {"error": "caught in run()"}
_DESIGNER_ERROR = {
    "error": {"code": 400, "message": "Input Data Error. Input data are inconsistent with schema.", "details": ""}
}
# Results that real scripts are known for.
NAMED_RESULTS: dict[str, object] = {
    "application-error": _APPLICATION_ERROR,  # W44: 200, and an error inside
    "application-error-encoded": json.dumps(_APPLICATION_ERROR),  # W44 W09
    "designer-error": AmlResponse(_DESIGNER_ERROR, 400, json_body=True),  # W45
}

_RESULT_MEMBERS = frozenset(("status", "headers", "body", "seconds"))


def parse_answers(value: Any, where: str, profile: Profile) -> list[Answer]:
    """Read a list of scripted answers. Raises SpecError."""
    if not isinstance(value, list):
        raise SpecError(f"{where} must be a list")
    return [_parse_answer(item, f"{where}[{index}]", profile) for index, item in enumerate(value)]


def parse_condition(value: Any, where: str, profile: Profile) -> Condition:
    """Read the name of a condition that the profile's front end knows. Raises SpecError."""
    known = profile.front.forms if profile.front else {}
    if value not in tuple(known):
        names = ", ".join(sorted(known)) or "none, because it has no front end"
        raise SpecError(f"{where} must be one of those that the profile {profile.name} knows: {names}")
    condition: Condition = value
    return condition


def _parse_answer(value: Any, where: str, profile: Profile) -> Answer:
    if isinstance(value, dict) and len(value) == 1:
        if "form" in value:
            return FormAnswer(parse_condition(value["form"], f"{where}.form", profile))
        if "result" in value:
            return ScriptAnswer(_parse_result(value["result"], f"{where}.result"))
    return parse_reply(value, where)


def _parse_result(value: Any, where: str) -> object:
    if isinstance(value, str):
        if value not in NAMED_RESULTS:
            raise SpecError(f"{where} must be an object or one of {', '.join(NAMED_RESULTS)}")
        return NAMED_RESULTS[value]
    if not isinstance(value, dict) or not set(value) <= _RESULT_MEMBERS:
        raise SpecError(f"{where} must be an object with {', '.join(sorted(_RESULT_MEMBERS))}, or a name")
    status = value.get("status", 200)
    if type(status) is not int or not 200 <= status <= 599:
        raise SpecError(f"{where}.status must be a whole number from 200 to 599")
    headers = value.get("headers", {})
    if not isinstance(headers, dict) or not all(isinstance(text, str) for text in headers.values()):
        raise SpecError(f"{where}.headers must be an object of strings")
    if any(character in name + text for name, text in headers.items() for character in "\r\n"):
        raise SpecError(f"{where}.headers must not have line ends")
    message, is_json = _parse_body(value.get("body", {"text": ""}), f"{where}.body")
    result = AmlResponse(message, status, headers, json_body=is_json)
    seconds = value.get("seconds", 0)
    if type(seconds) not in (int, float) or not 0 <= seconds <= 3600:
        raise SpecError(f"{where}.seconds must be a number from 0 to 3600")
    return Slept(float(seconds), result) if seconds else result


def _parse_body(value: Any, where: str) -> tuple[object, bool]:
    if not isinstance(value, Mapping) or len(value) != 1 or not set(value) <= {"json", "text", "base64"}:
        raise SpecError(f"{where} must be an object with one of json, text, base64")
    ((form, content),) = value.items()
    if form == "json":
        return content, True
    if not isinstance(content, str):
        raise SpecError(f"{where}.{form} must be a string")
    if form == "text":
        return content, False
    try:
        return base64.b64decode(content, validate=True), False
    except (binascii.Error, ValueError):
        raise SpecError(f"{where}.base64 must be base64") from None
