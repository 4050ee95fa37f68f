"""A control plane without sockets: a registry over pretended ports, a clock that the test moves."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from scoring_mock.control.plane import ControlPlane
from scoring_mock.control.workspace import Workspace
from scoring_mock.http_types import ConnectionFault, Request, Response
from scoring_mock.server import Options, Server
from scoring_mock.service.registry import Registry
from scoring_mock.service.service import Service

HOST = "control.test:4443"
BEARER = "Bearer any-token"
WORKSPACE = Workspace()
V1 = f"/modelmanagement/v1.0{WORKSPACE.arm_id}"
V2 = f"{WORKSPACE.arm_id}/onlineEndpoints"
VERSION = "?api-version=2025-12-01"


class PretendedPorts:
    """Gives addresses and opens nothing."""

    def open(
        self,
        service: str,
        names: list[str],
        faults: Sequence[ConnectionFault | None] = (),
        *,
        newest_tls: Literal["1.2", "1.3"] = "1.2",
    ) -> dict[str, str]:
        return {name: f"{name}://{service}.test:8443" for name in names}

    def shared(self) -> dict[str, str]:
        return {"http": "http://shared.test:80", "https": "https://shared.test:443"}

    def close(self, service: str) -> None:
        pass


@dataclass
class Reply:
    """A reply, read: headers by lower-case name, the body as JSON (None when there is none)."""

    status: int
    headers: dict[str, str]
    json: Any
    text: str


@dataclass
class Control:
    """Calls a control plane as an SDK does; `time` is its clock."""

    page_size: int = 30
    time: float = 1_700_000_000.0
    registry: Registry = field(init=False)
    plane: ControlPlane = field(init=False)

    def __post_init__(self) -> None:
        self.registry = Registry(PretendedPorts())
        self.plane = ControlPlane(self.registry, operation_seconds=5, page_size=self.page_size, now=lambda: self.time)

    def __call__(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        authorization: str | None = BEARER,
        headers: Sequence[tuple[str, str]] = (),
    ) -> Reply:
        return read(self.plane.handle(self.request(method, target, body, raw, authorization, headers)))

    def request(
        self,
        method: str,
        target: str,
        body: Any = None,
        raw: bytes | None = None,
        authorization: str | None = BEARER,
        headers: Sequence[tuple[str, str]] = (),
    ) -> Request:
        fields = [("host", HOST), *headers]
        if authorization is not None:
            fields.append(("authorization", authorization))
        if raw is None:
            raw = b"" if body is None else json.dumps(body).encode()
        return Request(method, target, (1, 1), [], fields, raw, ("127.0.0.1", 50000), "control")

    def create(self, *specs: dict[str, Any]) -> list[Service]:
        """Make services as the admin plane does."""
        self.registry.create(list(specs))
        services = [self.registry.get(spec["name"]) for spec in specs]
        return [service for service in services if service is not None]

    def score(self, service: Service, authorization: str | None) -> int:
        """Return the status of a scoring request with this header."""
        fields = [("content-type", "application/json")]
        if authorization is not None:
            fields.append(("authorization", authorization))
        body = json.dumps({"data": [list(range(10))]}).encode()
        target = f"{service.base}/score"
        return service.handle(Request("POST", target, (1, 1), [], fields, body, ("127.0.0.1", 50000), "http")).status


def read(response: Response) -> Reply:
    names = [name.lower() for name, _ in response.headers]
    assert len(names) == len(set(names)), f"a header is there twice: {names}"
    headers = {name.lower(): value for name, value in response.headers}
    body = response.body
    if response.chunks is not None:
        assert headers["transfer-encoding"] == "chunked"
        assert not body
        body = b"".join(response.chunks)
    elif response.status != 204:
        assert headers["content-length"] == str(len(body))
    value = json.loads(body) if body else None
    return Reply(response.status, headers, value, body.decode())


def local(link: str) -> str:
    """Return the target of an absolute link, which must lead to the host that was called."""
    parts = urlsplit(link)
    assert (parts.scheme, parts.netloc) == ("https", HOST)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


class Running:
    """A mock in a thread."""

    def __init__(self, listeners: tuple[str, ...] = ("http", "admin", "control")) -> None:
        self.loop = asyncio.new_event_loop()
        self.server = Server(Options(listeners=listeners), self.loop)
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.url: str = self.server.info["listeners"]["admin"]

    def service(self, name: str) -> Service:
        service = self.server.registry.get(name)
        assert service is not None
        return service

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.server.close()
        self.loop.close()


@pytest.fixture
def control() -> Control:
    return Control()
