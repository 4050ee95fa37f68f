"""No other listener leads to the control plane, and the control plane leads to nothing else."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from .conftest import V1, V2, VERSION, Running

# Headers that every reply of the control plane has one of, its refusals included.
MARKS = (b"api-supported-versions", b"x-ms-correlation-request-id")


@pytest.fixture(scope="module")
def mock() -> Iterator[Running]:
    running = Running()
    running.server.registry.create([{"name": "it"}, {"name": "own", "profile": "managed-v2", "listeners": ["http"]}])
    yield running
    running.close()


def exchange(mock: Running, url: str, data: bytes) -> bytes:
    """Send bytes, and return everything that comes back until the server closes."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as plain:
        connection: socket.socket = plain
        if parts.scheme == "https":
            context = ssl.create_default_context(cadata=mock.server.info["ca_pem"])
            connection = context.wrap_socket(plain, server_hostname=parts.hostname)
        connection.sendall(data)
        received = b""
        while piece := connection.recv(65536):
            received += piece
        return received


def request(target: str, host: str, *, method: str = "GET", more: str = "") -> bytes:
    lines = (
        f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer any\r\nConnection: close\r\n{more}\r\n"
    )
    return lines.encode()


def is_of_control(reply: bytes) -> bool:
    return any(mark in reply.lower() for mark in MARKS)


def test_the_marks_are_on_the_control_plane(mock: Running) -> None:
    control = mock.server.info["listeners"]["control"]
    for target in (f"{V1}/services", f"{V1}/services/missing", f"{V2}{VERSION}", "/elsewhere"):
        reply = exchange(mock, control, request(target, urlsplit(control).netloc))
        assert is_of_control(reply), target


@pytest.mark.parametrize("listener", ["http", "admin", "own"])
def test_no_other_listener_leads_to_it(mock: Running, listener: str) -> None:
    listeners = mock.server.info["listeners"]
    own = mock.server.registry.describe("own")["uris"]["http"]["scoring"]
    url = own if listener == "own" else listeners[listener]
    here, there = urlsplit(url).netloc, urlsplit(listeners["control"]).netloc
    listkeys = f"{V1}/services/it/listkeys"
    for data in (
        request(f"{V1}/services", here),
        request(f"{V1}/services", there),
        request(f"https://{there}{V1}/services", there),
        request(f"http://{there}{V2}{VERSION}", here),
        request(listkeys, here, method="POST", more="Content-Length: 0\r\n"),
        request(listkeys.replace("/", "%2F"), there, method="POST", more="Content-Length: 0\r\n"),
        request(
            f"/api/v1/service/it/score/../../../../..{listkeys}", there, method="POST", more="Content-Length: 0\r\n"
        ),
        request(f"/api/v1/service/it/%2e%2e/%2e%2e{listkeys}", there, method="POST", more="Content-Length: 0\r\n"),
        request("/api/v1/service/it/", here, more=f"X-Original-URL: {V1}/services\r\n"),
    ):
        reply = exchange(mock, url, data)
        assert reply.startswith(b"HTTP/1.1 4") or b"Healthy" in reply, data
        assert not is_of_control(reply), data
        assert mock.service("it").keys.primary.encode() not in reply


def test_it_scores_nothing_and_is_no_admin_plane(mock: Running) -> None:
    control = mock.server.info["listeners"]["control"]
    host = urlsplit(control).netloc
    for target in ("/api/v1/service/it/score", "/info", "/services", "/journals"):
        reply = exchange(mock, control, request(target, host, method="POST", more="Content-Length: 0\r\n"))
        assert reply.startswith(b"HTTP/1.1 404 "), target


def test_plain_http_gets_nothing_from_it(mock: Running) -> None:
    parts = urlsplit(mock.server.info["listeners"]["control"])
    reply = exchange(mock, f"http://{parts.netloc}", request(f"{V1}/services", parts.netloc))
    assert reply.startswith(b"HTTP/1.1 400 ")
    assert not is_of_control(reply)
