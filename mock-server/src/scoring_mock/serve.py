"""`scoring-mock serve`: one service for a person, with everything that is needed to call it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from scoring_mock.http_types import Request, Response, Service
from scoring_mock.replies import Reply, parse_reply
from scoring_mock.server import Server

DEFAULT_PORT: Final = 8080
ADMIN_PORT: Final = 8081
CONTROL_PORT: Final = 8443
EXAMPLE: Final = '{"data": [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]]}'

_JSON_ERROR: Final = {"json": {"message": "A fault that was asked for with --faults."}}
_PREDICTIONS: Final = {"json": [5215.198131579871, 3726.9954859385753]}

# What `--faults` can play, each a scripted reply as in ADMIN.md.
FAULTS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "busy": ("503 with Retry-After: 1", {"status": 503, "headers": [["Retry-After", "1"]], "body": _JSON_ERROR}),
    "too-many": ("429 with Retry-After: 1", {"status": 429, "headers": [["Retry-After", "1"]], "body": _JSON_ERROR}),
    "error": ("500", {"status": 500, "body": _JSON_ERROR}),
    "html": (
        "502 with a page in place of JSON",
        {
            "status": 502,
            "headers": [["Content-Type", "text/html"]],
            "body": {"text": "<html><head><title>502 Bad Gateway</title></head><body></body></html>"},
        },
    ),
    "slow": ("10 s before the first byte", {"delay": 10, "body": _PREDICTIONS}),
    "drip": ("one byte in half a second", {"drip": {"bytes": 1, "seconds": 0.5}, "body": _PREDICTIONS}),
    "silence": ("no answer at all", {"fault": {"kind": "silence"}}),
    "close": ("the connection is closed before an answer", {"fault": {"kind": "close"}}),
    "reset": ("the connection is reset before an answer", {"fault": {"kind": "reset"}}),
    "truncated": ("a body that breaks off", {"body": _PREDICTIONS, "fault": {"kind": "close", "body": 10}}),
    "garbage": ("a reply that is no HTTP", {"fault": {"kind": "status-line"}}),
    "not-json": ("200 with text", {"body": {"text": "Hello"}}),
    "error-in-200": ("200 with an error inside", {"body": {"json": {"error": "shapes not aligned"}}}),
    "redirect": ("307 to another host", {"status": 307, "headers": [["Location", "http://redirected.invalid/score"]]}),
}


@dataclass
class Interrupted:
    """A service of which every second scoring request fails, with one fault after the other, round and round."""

    service: Service
    faults: list[Reply]

    def __post_init__(self) -> None:
        """Start with a request that goes well."""
        self.name = self.service.name
        self._count = 0

    def handle(self, request: Request) -> Response:
        """Answer as the service does, or with the next fault; who has no credential gets no fault either."""
        response = self.service.handle(request)
        path = request.target.partition("?")[0]
        if request.method != "POST" or not path.endswith("/score") or response.source in ("auth", "front-end"):
            return response
        self._count += 1
        if self._count % 2:
            return response
        return self.faults[(self._count // 2 - 1) % len(self.faults)].response()

    def handle_head(self, request: Request) -> Response | None:
        """Answer before the body as the service does."""
        return self.service.handle_head(request)


@dataclass(frozen=True)
class Serve:
    """What a person asked for."""

    profile: str
    auth: str | None
    name: str
    tls: bool
    faults: tuple[str, ...]

    async def start(self, server: Server) -> None:
        """Make the service and print how to call it."""
        spec: dict[str, Any] = {"name": self.name, "profile": self.profile}
        if self.auth is not None:
            spec["auth"] = self.auth
        described = server.registry.create([spec])[0]
        token = None
        if described["auth"] == "token":
            token = server.registry.act(self.name, {"act": "issue-token"})["token"]
        if self.faults:
            service = server.registry.get(self.name)
            assert service is not None
            replies = [parse_reply(FAULTS[name][1], name) for name in self.faults]
            server.data_plane.interrupted[self.name] = Interrupted(service, replies)
        # What makes certificates takes as long to import as all the rest: the service answers meanwhile.
        await asyncio.to_thread(import_module, "scoring_mock.certificates")
        print(_sheet(server, described, token, tls=self.tls, faults=self.faults), flush=True)


def _sheet(server: Server, service: dict[str, Any], token: str | None, *, tls: bool, faults: tuple[str, ...]) -> str:
    """Return what a person is told about a service."""
    uris = service["uris"]["https" if tls else "http"]
    lines = [
        f"A local stand-in for Azure Machine Learning, profile {service['profile']}, authentication {service['auth']}."
    ]
    lines.append("")
    lines.append(f"  scoring URI  {uris['scoring']}")
    lines.append(f"  swagger URI  {uris['swagger']}")
    lines.append(f"  health       {uris['health']}")
    credential = token or service.get("primary_key")
    if "primary_key" in service:
        lines.append(f"  primary key  {service['primary_key']}")
        lines.append(f"  second key   {service['secondary_key']}")
    if token is not None:
        lines.append(f"  token        {token}")
    lines.append(f"  CA file      {server.ca_file}")
    lines.append(f"  admin        {server.info['listeners']['admin']}")
    lines.append(f"  control      {server.info['listeners']['control']}")
    import shlex  # not for a start of `run`

    curl = ["curl"]
    if tls:
        curl += ["--cacert", server.ca_file]
    curl += [uris["scoring"], "-H", "Content-Type: application/json"]
    if credential:
        curl += ["-H", f"Authorization: Bearer {credential}"]
    curl += ["-d", EXAMPLE]
    lines += ["", f"  {shlex.join(curl)}", ""]
    if faults:
        lines.append("Every second scoring request fails, in this order, again and again:")
        lines += [f"  {name:<13}{FAULTS[name][0]}" for name in faults]
        lines.append("")
    lines.append("Ctrl-C ends it.")
    return "\n".join(lines)
