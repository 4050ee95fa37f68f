"""A request to the control plane, taken apart, and the table of routes that finds who answers it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

from scoring_mock.control.replies import ControlError
from scoring_mock.http_types import Request, Response
from scoring_mock.profiles.call import split_target


@dataclass(slots=True)
class ControlCall:
    """One call: `names` are the variable parts of the path, `query` its parameters by lower-case name (first wins)."""

    request: Request
    path: str
    names: dict[str, str]
    parameters: list[tuple[str, str]]
    query: dict[str, str]

    @property
    def base_url(self) -> str:
        """The address under which the caller reached the control plane; links in replies start with it."""
        return f"https://{self.request.header('host') or '127.0.0.1'}"

    def next_page(self, parameter: str, token: str) -> str:
        """Return the link to the same call for another page; `parameter` is what carries the token."""
        kept = [(name, value) for name, value in self.parameters if name.lower() != parameter.lower()]
        return f"{self.base_url}{self.path}?{urlencode([*kept, (parameter, token)], safe='$')}"

    def json(self) -> Any:
        """Return the body read as JSON. Raises ControlError."""
        try:
            return json.loads(self.request.body)
        except (ValueError, RecursionError) as error:
            raise bad_request(f"The body is not JSON: {error}") from None

    def json_object(self) -> dict[str, Any]:
        """Return the body, which must be a JSON object. Raises ControlError."""
        value = self.json()
        if not isinstance(value, dict):
            raise bad_request("The body must be a JSON object.")
        return value


def bad_request(message: str, code: str = "BadArgument") -> ControlError:
    """Return a 400. The outer words are those of recorded ones (v1); `code` and `message` are the mock's own."""
    return ControlError(400, "BadRequest", "The request is invalid", [(code, message)])


def member_object(body: dict[str, Any], member: str) -> dict[str, Any]:
    """Return an object inside a body, empty when it is absent or null. Raises ControlError."""
    value = body.get(member)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise bad_request(f"{member} must be an object.")
    return value


def member_texts(body: dict[str, Any], member: str) -> dict[str, str]:
    """Return an object of strings inside a body, empty when it is absent or null. Raises ControlError."""
    value = member_object(body, member)
    if not all(isinstance(text, str) for text in value.values()):
        raise bad_request(f"{member} must be an object of strings.")
    return dict(value)


def member_text(body: dict[str, Any], member: str) -> str | None:
    """Return a string inside a body, None when it is absent or null. Raises ControlError."""
    value = body.get(member)
    if value is not None and not isinstance(value, str):
        raise bad_request(f"{member} must be a string.")
    return value


Handler = Callable[[ControlCall], Response]


class Routes:
    """Path templates such as `services/{name}/token`, looked up by segment; the fixed parts match in any case.

    That the case does not matter is how ARM and ASP.NET match paths.
    """

    def __init__(self, table: dict[tuple[str, str], Handler]) -> None:
        """Take handlers by method and template."""
        self._routes: list[tuple[str, list[str], Handler]] = [
            (method, template.split("/"), handler) for (method, template), handler in table.items()
        ]

    def find(self, method: str, path: str) -> tuple[Handler, dict[str, str]]:
        """Return who answers, and the variable parts decoded. Raises ControlError 404 or 405."""
        segments = path.strip("/").split("/")
        allowed = []
        for wanted, template, handler in self._routes:
            names = _match(template, segments)
            if names is None:
                continue
            if wanted == method:
                return handler, names
            allowed.append(wanted)
        if allowed:
            raise ControlError(405, "MethodNotAllowed", f"The method {method} is not allowed here.")
        raise ControlError(404, "NotFound", "There is nothing at this path.")


def _match(template: list[str], segments: list[str]) -> dict[str, str] | None:
    if len(template) != len(segments):
        return None
    names = {}
    for part, segment in zip(template, segments, strict=True):
        if part.startswith("{"):
            names[part[1:-1]] = unquote(segment, errors="replace")
        elif part.lower() != segment.lower():
            return None
    return names


def take_apart(request: Request) -> ControlCall:
    """Return the call that a request is; its path is still percent-encoded."""
    path, query = split_target(request.target)
    parameters = parse_qsl(query, keep_blank_values=True, errors="replace")
    by_name: dict[str, str] = {}
    for name, value in parameters:
        by_name.setdefault(name.lower(), value)
    return ControlCall(request, path, {}, parameters, by_name)
