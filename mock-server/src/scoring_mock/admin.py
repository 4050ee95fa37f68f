"""The admin plane: what a test suite drives the mock with. The contract is ADMIN.md."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, Final

from scoring_mock.http_types import Registry, Request, Response, Service, SpecError, reason_phrase
from scoring_mock.wire.journal import Journal, Journals

_LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1")


class AdminPlane:
    """Answers on the admin listener; a `Site` and its only `Service`."""

    name = "admin"

    def __init__(
        self,
        registry: Registry,
        journals: Journals,
        info: Callable[[], dict[str, Any]],
        hosts: Iterable[str] = (),
    ) -> None:
        """Drive `registry`; `hosts` are the names beside the loopback ones under which the plane may be called."""
        self._registry = registry
        self._journals = journals
        self._info = info
        self._hosts = frozenset(host.lower() for host in hosts)

    def route(self, request: Request) -> tuple[Service, Journal | None]:  # noqa: ARG002
        """Everything on this listener is for the admin plane; nothing of it is journaled."""
        return self, None

    def journal_of_unread(self, owner: str | None) -> Journal | None:  # noqa: ARG002
        """Return no journal."""
        return None

    def handle_head(self, request: Request) -> Response | None:
        """Refuse what may not drive the mock before reading its body."""
        refusal = self._refusal(request)
        if refusal is not None:
            refusal.close = True
            refusal.headers.append(("Connection", "close"))
        return refusal

    def handle(self, request: Request) -> Response:
        """Answer one call."""
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        path = request.target.partition("?")[0]
        call = _CALLS.get(path)
        parts = path.split("/")
        try:
            if call is not None:
                method, function = call
                if request.method != method:
                    return _error(405, f"{path} takes {method}")
                return _answer(200, function(self, _body(request) if method == "POST" else {}))
            if len(parts) == 4 and parts[1] == "services" and parts[3] == "act":
                if request.method != "POST":
                    return _error(405, f"{path} takes POST")
                return self._act(parts[2], _body(request))
        except SpecError as error:
            return _error(400, str(error))
        return _error(404, f"there is no call {path}; ADMIN.md lists them")

    def _refusal(self, request: Request) -> Response | None:
        """Refuse a web page, and a name that leads here by DNS (rebinding)."""
        if request.header("origin") is not None:
            return _error(403, "a request with an Origin header is refused: a web page may not drive this mock")
        host = request.header("host") or ""
        if not self._is_allowed(host):
            return _error(403, f"the host {host!r} is refused: use a loopback address, or name it with --admin-host")
        if request.method == "POST":
            media_type = (request.header("content-type") or "").partition(";")[0].strip().lower()
            if media_type != "application/json":
                return _error(415, "the body must be application/json")
        return None

    def _is_allowed(self, host: str) -> bool:
        name, _, port = host.rpartition(":")
        if not name or not port.isdigit():
            name = host
        name = name.strip("[]").lower()
        if name in _LOOPBACK_NAMES or name in self._hosts:
            return True
        from ipaddress import ip_address  # only for hosts that are not the usual ones

        try:
            address = ip_address(name)
        except ValueError:
            return False
        # A page can rebind a name, not an address: on all interfaces, any address is as good as another.
        return address.is_loopback or bool({"0.0.0.0", "::"} & self._hosts)  # noqa: S104

    # --- the calls ---------------------------------------------------------------------------------------------

    def _get_info(self, _: dict[str, Any]) -> dict[str, Any]:
        return self._info()

    def _create(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"services": self._registry.create(_list(body, "services"))}

    def _read_journals(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"journals": {name: self._journals.of(name).to_json() for name in self._known(body)}}

    def _drop(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"dropped": self._registry.drop(_names(body))}

    def _act(self, name: str, body: dict[str, Any]) -> Response:
        try:
            return _answer(200, self._registry.act(name, body))
        except KeyError:
            return _error(404, f"there is no service {name!r}")

    def _known(self, body: dict[str, Any]) -> list[str]:
        names = _names(body)
        for name in names:
            if name != Journals.UNROUTED and self._registry.get(name) is None:
                raise SpecError(f"there is no service {name!r}")
        return names


_CALLS: Final[dict[str, tuple[str, Callable[[AdminPlane, dict[str, Any]], dict[str, Any]]]]] = {
    "/info": ("GET", AdminPlane._get_info),
    "/services": ("POST", AdminPlane._create),
    "/services/drop": ("POST", AdminPlane._drop),
    "/journals": ("POST", AdminPlane._read_journals),
}


def _body(request: Request) -> dict[str, Any]:
    try:
        value = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise SpecError(f"the body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise SpecError("the body must be an object")
    return value


def _list(body: dict[str, Any], member: str) -> list[Any]:
    if set(body) != {member} or not isinstance(body[member], list):
        raise SpecError(f"the body must have the one member {member}, a list")
    value: list[Any] = body[member]
    return value


def _names(body: dict[str, Any]) -> list[str]:
    names = _list(body, "names")
    if not all(isinstance(name, str) for name in names):
        raise SpecError("names must be a list of strings")
    return names


def _answer(status: int, value: dict[str, Any]) -> Response:
    body = json.dumps(value).encode("ascii")
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("X-Content-Type-Options", "nosniff"),
    ]
    return Response(status, reason_phrase(status), headers, body)


def _error(status: int, sentence: str) -> Response:
    return _answer(status, {"error": sentence})
