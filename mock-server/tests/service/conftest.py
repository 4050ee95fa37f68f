"""Services without sockets: a registry over pretended ports, and requests built from their parts."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from scoring_mock.http_types import ConnectionFault, Request, Response
from scoring_mock.service.registry import Registry
from scoring_mock.service.service import Service

ROW = list(range(1, 11))
GOOD = {"data": [ROW]}


class PretendedPorts:
    """Gives addresses, opens nothing, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.opened: dict[str, tuple[list[str], str]] = {}
        self.closed: list[str] = []

    def open(
        self,
        service: str,
        names: list[str],
        faults: Sequence[ConnectionFault | None] = (),
        *,
        newest_tls: Literal["1.2", "1.3"] = "1.2",
    ) -> dict[str, str]:
        self.opened[service] = (names, newest_tls)
        return {name: f"{name}://{service}.test" for name in names}

    def shared(self) -> dict[str, str]:
        return {"http": "http://shared.test:1", "https": "https://shared.test:2"}

    def close(self, service: str) -> None:
        self.closed.append(service)


@dataclass
class Caller:
    """Sends requests to one service, with its primary key unless told otherwise."""

    service: Service

    def __call__(
        self,
        method: str = "POST",
        path: str = "/score",
        body: object = GOOD,
        *,
        headers: Sequence[tuple[str, str]] = (),
        content_type: str | None = "application/json",
        key: str | None = "primary",
        version: tuple[int, int] = (1, 1),
    ) -> Response:
        return self.service.handle(
            self.request(method, path, body, headers=headers, content_type=content_type, key=key, version=version)
        )

    def request(
        self,
        method: str = "POST",
        path: str = "/score",
        body: object = GOOD,
        *,
        headers: Sequence[tuple[str, str]] = (),
        content_type: str | None = "application/json",
        key: str | None = "primary",
        version: tuple[int, int] = (1, 1),
    ) -> Request:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        if method != "POST" and body is GOOD:
            data = b""
        fields = [("host", "test")]
        if content_type is not None:
            fields.append(("content-type", content_type))
        if key is not None and self.service.auth == "key":
            keys = {"primary": self.service.keys.primary, "secondary": self.service.keys.secondary}
            fields.append(("authorization", f"Bearer {keys.get(key, key)}"))
        if data:
            fields.append(("content-length", str(len(data))))
        fields += [(name.lower(), value) for name, value in headers]
        return Request(
            method=method,
            target=self.service.base + path,
            version=version,
            header_lines=[],
            headers=fields,
            body=data,
            peer=("127.0.0.1", 1),
            listener="http",
            owner=self.service.name if self.service.profile.dedicated else None,
        )


@pytest.fixture
def ports() -> PretendedPorts:
    return PretendedPorts()


@pytest.fixture
def registry(ports: PretendedPorts) -> Registry:
    return Registry(ports)


@pytest.fixture
def make(registry: Registry) -> Callable[..., Caller]:
    """Make a service from the members of a spec, and return what calls it."""

    def make_one(**spec: Any) -> Caller:
        (described,) = registry.create([spec])
        service = registry.get(described["name"])
        assert service is not None
        return Caller(service)

    return make_one


@pytest.fixture
def container(make: Callable[..., Caller]) -> Caller:
    return make(profile="container")
