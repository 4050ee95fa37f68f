"""The data plane leads to services only; the admin plane takes no orders from a web page."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest

CREATE = b'{"services": [{"name": "planted"}]}'


def post(target: str, host: str = "127.0.0.1", body: bytes = CREATE) -> bytes:
    return (
        f"POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def close(request: bytes) -> bytes:
    return request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)


def assert_nothing_was_planted(mock: Any) -> None:
    status, answer = mock.ask_admin("/journals", {"names": ["planted"]})
    assert (status, answer) == (400, {"error": "there is no service 'planted'"})


@pytest.mark.parametrize("profile", ["aks-v1", "container"])
@pytest.mark.parametrize(
    "target",
    [
        "/services",
        "//services",
        "/%73ervices",
        "/%2fservices",
        "/..%2fservices",
        "/../services",
        "/./services",
        "/services/",
        "/admin/services",
        "/services?x=http://{admin}/services",
        "{path}/../../../../../services",
        "{path}%2f..%2f..%2f..%2f..%2f..%2fservices",
        "{path}/services",
        "http://{admin}/services",
        "http://{admin}@127.0.0.1/services",
        "/http://{admin}/services",
    ],
)
@pytest.mark.parametrize("host", ["127.0.0.1", "{admin}", "admin"])
def test_no_path_and_no_host_leads_to_the_admin_plane(mock: Any, profile: str, target: str, host: str) -> None:
    service = mock.deploy(profile=profile)
    names = {"admin": mock.info["listeners"]["admin"].removeprefix("http://"), "path": service.path}
    with service.connect() as raw:
        raw.send(close(post(target.format(**names), host.format(**names))))
        data, _ = raw.rest()
    assert not data.startswith(b"HTTP/1.1 200 ")
    assert b"planted" not in data
    assert_nothing_was_planted(mock)
    mock.admin("/services/drop", {"names": [service.name]})


@pytest.mark.parametrize("target", ["/info", "/journals", "/services/drop", "/services/x/act", "/subscriptions/x"])
def test_calls_of_the_other_planes_are_unknown_to_the_data_plane(mock: Any, target: str) -> None:
    service = mock.deploy()
    with service.connect() as raw:
        raw.send(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        data, _ = raw.rest()
    assert data.startswith(b"HTTP/1.1 404 ")
    assert mock.info["server_id"].encode() not in data


def test_connect_makes_no_tunnel(mock: Any) -> None:
    admin = mock.info["listeners"]["admin"].removeprefix("http://")
    service = mock.deploy()
    with service.connect() as raw:
        raw.send(f"CONNECT {admin} HTTP/1.1\r\nHost: {admin}\r\n\r\n".encode() + close(post("/services")))
        data, _ = raw.rest()
    assert b"HTTP/1.1 200 " not in data
    assert_nothing_was_planted(mock)


INNER = post("/services")


@pytest.mark.parametrize(
    "smuggler",
    [
        b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % (5 + len(INNER)) + INNER,
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + INNER,
        b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(INNER) + INNER,
        b"Content-Length: 0, %d\r\n\r\n" % len(INNER) + INNER,
        b"Content-Length: +0\r\n\r\n" + INNER,
        b"Content-Length : 0\r\n\r\n" + INNER,
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + INNER,
        b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + INNER,
        b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + INNER,
        b"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n" + INNER,
        b"Transfer-Encoding: chunked\r\n\r\n0;a\nb\r\n\r\n" + INNER,
        b"X: y\n" + INNER,
        b"X: y\r\n Content-Length: 0\r\n\r\n" + INNER,
    ],
)
def test_no_second_request_can_be_smuggled(mock: Any, smuggler: bytes) -> None:
    service = mock.deploy()
    with service.connect() as raw:
        raw.send(b"POST " + service.path.encode() + b" HTTP/1.1\r\nHost: x\r\n" + smuggler)
        data, end = raw.rest()
    assert data.count(b"HTTP/1.1 ") == 1
    assert data[9:12] in (b"400", b"501")
    assert end == "fin"
    assert_nothing_was_planted(mock)


def test_a_second_request_that_is_not_smuggled_stays_on_the_data_plane(mock: Any) -> None:
    service = mock.deploy()
    with service.connect() as raw:
        raw.send(service.request() + close(post("/services", mock.info["listeners"]["admin"].removeprefix("http://"))))
        data, _ = raw.rest()
    assert data.startswith(b"HTTP/1.1 200 ")
    assert data.count(b"HTTP/1.1 404 ") == 1
    assert_nothing_was_planted(mock)


# --- a web page ----------------------------------------------------------------------------------------------------


def headers_of(mock: Any, method: str, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], Any]:
    connection = http.client.HTTPConnection("127.0.0.1", mock.port("admin"), timeout=10)
    body = CREATE if method == "POST" else None
    connection.request(method, path, body, headers)
    reply = connection.getresponse()
    answer = json.loads(reply.read())
    connection.close()
    return reply.status, {name.lower(): value for name, value in reply.getheaders()}, answer


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize("origin", ["https://page.example", "null", "http://127.0.0.1"])
def test_a_page_cannot_drive_the_mock(mock: Any, method: str, origin: str) -> None:
    path = "/info" if method == "GET" else "/services"
    fields = {"Origin": origin, "Content-Type": "application/json", "Access-Control-Request-Method": "POST"}
    status, headers, answer = headers_of(mock, method, path, fields)
    assert status == 403
    assert "Origin" in answer["error"]
    assert not any(name.startswith("access-control-") for name in headers)
    assert_nothing_was_planted(mock)


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_form_cannot_drive_the_mock(mock: Any, media_type: str) -> None:
    status, _, answer = headers_of(mock, "POST", "/services", {"Content-Type": media_type})
    assert (status, answer) == (415, {"error": "the body must be application/json"})
    assert_nothing_was_planted(mock)


@pytest.mark.parametrize("host", ["rebound.example", "rebound.example:80", "127.0.0.1.rebound.example", "8.8.8.8", ""])
def test_a_rebound_name_cannot_drive_the_mock(mock: Any, host: str) -> None:
    status, _, answer = headers_of(mock, "POST", "/services", {"Host": host, "Content-Type": "application/json"})
    assert status == 403
    assert "host" in answer["error"]
    assert_nothing_was_planted(mock)


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1:2", "127.1.2.3", "[::1]:3", "LOCALHOST"])
def test_loopback_names_are_good(mock: Any, host: str) -> None:
    assert headers_of(mock, "GET", "/info", {"Host": host})[0] == 200
