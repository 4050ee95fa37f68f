"""The mock, started as a user starts it, with one `container` service for each genuine one."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from differential.exchange import Address


class MockError(Exception):
    """The mock did not start, or refused a service; the message says why."""


class Mock:
    """A running `scoring-mock run`; a context manager that ends it."""

    def __init__(self, listeners: str = "http,admin", launcher: Sequence[str] = ("-m", "scoring_mock")) -> None:
        """Start it (`python LAUNCHER run ...`) and read its first line. Raises MockError."""
        command = [sys.executable, *launcher, "run", "--exit-with-stdin", "--listeners", listeners]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.close()
            raise MockError(f"scoring-mock run ended with exit code {self.process.returncode}")
        self.info: dict[str, Any] = json.loads(line)

    def admin(self, path: str, body: Any) -> Any:
        """Post one call to the admin plane and return its answer. Raises MockError."""
        data = json.dumps(body).encode()
        url = self.info["listeners"]["admin"] + path
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 loopback
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            raise MockError(f"admin {path}: {error.read().decode()}") from error

    def create(self, specs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Create services and return them as the admin plane describes them."""
        services: list[dict[str, Any]] = self.admin("/services", {"services": specs})["services"]
        return services

    def containers(self, specs: dict[str, dict[str, Any]]) -> dict[str, Address]:
        """Create one `container` service for each spec; returns where each listens."""
        created = self.create([{"profile": "container", **spec} for spec in specs.values()])
        return {
            name: address_of(service["uris"]["http"]["scoring"]) for name, service in zip(specs, created, strict=True)
        }

    def close(self) -> None:
        """End it and wait for it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self.close()


def address_of(url: str) -> Address:
    """Return host and port of a URL."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port
