"""What clients send that is too much, too slow, or nothing like HTTP."""

from __future__ import annotations

from typing import Any

import pytest

PAGE = """\
<html>
  <head>
    <title>{0}</title>
  </head>
  <body>
    <h1><p>{0}</p></h1>
    {1}
  </body>
</html>
"""


def send(service: Any, data: bytes) -> tuple[bytes, str]:
    with service.connect() as raw:
        raw.send(data)
        found: tuple[bytes, str] = raw.rest()
        return found


def page(status: str, reason: str, message: str) -> bytes:
    body = PAGE.format(reason, message)
    return (
        f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: text/html\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


# The words of the first five are recorded from the genuine server.
@pytest.mark.parametrize(
    ("request_", "status", "reason", "message"),
    [
        (
            b"GARBAGE\r\n\r\n",
            "400",
            "Bad Request",
            "Invalid Request Line &#x27;Invalid HTTP request line: &#x27;GARBAGE&#x27;&#x27;",
        ),
        (
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
            "400",
            "Bad Request",
            "Invalid HTTP Header: &#x27;CONTENT-LENGTH&#x27;",
        ),
        (
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx",
            "400",
            "Bad Request",
            "Invalid HTTP Header: &#x27;CONTENT-LENGTH&#x27;",
        ),
        (
            b"GET / HTTP/1.1\r\nX-Big: " + b"a" * 9000 + b"\r\n\r\n",
            "431",
            "Request Header Fields Too Large",
            "Error parsing headers: &#x27;limit request headers fields size&#x27;",
        ),
        (
            b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 101 + b"\r\n",
            "431",
            "Request Header Fields Too Large",
            "Error parsing headers: &#x27;limit request headers fields&#x27;",
        ),
        (
            b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n\r\n",
            "414",
            "URI Too Long",
            "Request Line is too large (5014 &gt; 4094)",
        ),
        (
            b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
            "400",
            "Bad Request",
            "Obsolete line folding is unacceptable: &#x27;A&#x27;",
        ),
        (
            b"get / HTTP/1.1\r\n\r\n",
            "400",
            "Bad Request",
            "Invalid Method &#x27;Invalid HTTP method: &#x27;get&#x27;&#x27;",
        ),
        (
            b"GET / HTTP/2.0\r\n\r\n",
            "400",
            "Bad Request",
            "Invalid HTTP Version &#x27;Invalid HTTP Version: (2, 0)&#x27;",
        ),
        (
            b"POST / HTTP/1.1\r\nExpect: tea\r\n\r\n",
            "417",
            "Expectation Failed",
            "Unable to comply with expectation: &#x27;tea&#x27;",
        ),
        (
            b"POST / HTTP/1.1\r\nTransfer-Encoding: br\r\n\r\n",
            "501",
            "Bad Request",
            "Unsupported transfer coding: &#x27;br&#x27;",
        ),
    ],
)
def test_what_cannot_be_read_gets_the_genuine_servers_page(
    mock: Any, request_: bytes, status: str, reason: str, message: str
) -> None:
    data, end = send(mock.deploy(), request_)
    assert data == page(status, reason, message)
    assert end == "fin"


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /" + b"a" * 10_000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n",
        b"GET / HTTP/1.1\r\nA: b\nC: d\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 10_000,
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    ],
)
def test_it_is_refused_before_it_is_complete(mock: Any, request_: bytes) -> None:
    data, end = send(mock.deploy(), request_)
    assert data.startswith(b"HTTP/1.1 4")
    assert b"\r\nConnection: close\r\n" in data
    assert b"Traceback" not in data
    assert end == "fin"


def test_endless_head(mock: Any) -> None:
    service = mock.deploy()
    with service.connect() as raw:
        raw.send(b"GET / HTTP/1.1\r\n" + b"A: " + b"b" * 1_000_000)
        data, _ = raw.rest()
    assert data.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 2000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n1e8480\r\n"]
)
def test_body_beyond_the_limit(hasty_mock: Any, framing: bytes) -> None:
    service = hasty_mock.deploy()
    head = b"POST " + service.path.encode() + b" HTTP/1.1\r\nHost: x\r\n"
    data, end = send(service, head + framing + b"x" * 1_500_000)
    assert data.startswith(b"HTTP/1.1 413 ")
    assert end == "fin"
    assert service.requests()[0]["answered"]["status"] == 413


def test_after_a_refusal_the_server_goes_on(mock: Any) -> None:
    service = mock.deploy()
    send(service, b"\x00\r\n\r\n")
    with service.connect() as raw:
        raw.send(service.request())
        assert raw.until(b"]").startswith(b"HTTP/1.1 200 ")


# --- slow, half-open and rude clients --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent", [b"POST", b"POST / HTTP/1.1\r\nHost: x\r\n", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nab"]
)
def test_a_request_that_does_not_come_to_its_end_is_timed_out(hasty_mock: Any, sent: bytes) -> None:
    data, end = send(hasty_mock.deploy(), sent)
    assert data.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert end == "fin"


def test_a_connection_without_requests_is_closed(hasty_mock: Any) -> None:
    assert send(hasty_mock.deploy(), b"") == (b"", "fin")


def test_a_kept_connection_is_closed_when_idle(hasty_mock: Any) -> None:
    service = hasty_mock.deploy()
    data, end = service.ask()
    assert data.startswith(b"HTTP/1.1 200 ")
    assert end == "fin"


def test_a_dripping_client_is_timed_out(hasty_mock: Any) -> None:
    service = hasty_mock.deploy()
    with service.connect() as raw:
        raw.send(b"POST / HTTP/1.1\r\nHost: x\r\n")
        pieces = 0
        while raw.is_silent(0.05):
            raw.send(b"A: b\r\n")
            pieces += 1
            assert pieces < 200


def test_a_handshake_that_does_not_come_is_timed_out(hasty_mock: Any, raw: Any, hello: bytes) -> None:
    for sent in (b"", hello[:50]):
        with raw(hasty_mock.port("https")) as connection:
            connection.send(sent)
            assert connection.rest() == (b"", "fin")


def test_a_client_that_does_not_read_is_given_up(hasty_mock: Any) -> None:
    service = hasty_mock.scripted({"body": {"text": "x", "repeat": 100_000_000}})
    with service.connect() as raw:
        raw.send(service.request())
        hasty_mock.wait_for(lambda: bool(service.requests()))
        hasty_mock.wait_for(lambda: not hasty_mock.server.listeners.count(service.name))


def test_a_client_that_only_shut_its_output_gets_its_reply(mock: Any) -> None:
    import socket

    service = mock.deploy()
    with service.connect() as raw:
        raw.send(service.request())
        raw.sock.shutdown(socket.SHUT_WR)
        data, end = raw.rest()
    assert data.startswith(b"HTTP/1.1 200 ")
    assert end == "fin"


def test_pipelined_requests_are_answered_in_order(mock: Any) -> None:
    service = mock.scripted(*({"delay": 0.01 if number % 2 else 0, "body": {"json": number}} for number in range(20)))
    with service.connect() as raw:
        raw.send(service.request() * 19 + service.request(extra=b"Connection: close\r\n"))
        data, _ = raw.rest()
    bodies = [part.partition(b"\r\n\r\n")[2] for part in data.split(b"HTTP/1.1 200 OK\r\n")[1:]]
    assert bodies == [b"%d" % number for number in range(20)]


def test_a_request_in_many_pieces(mock: Any) -> None:
    service = mock.deploy()
    request = service.request()
    with service.connect() as raw:
        for position in range(len(request)):
            raw.send(request[position : position + 1])
        assert raw.until(b"]").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("version", "field", "kept"),
    [
        ("1.0", "", False),
        ("1.1", "", True),
        ("1.1", "Connection: close\r\n", False),
    ],
)
def test_keep_alive(mock: Any, version: str, field: str, kept: bool) -> None:
    service = mock.deploy()
    with service.connect() as raw:
        raw.send(service.request(extra=field.encode()).replace(b"HTTP/1.1", f"HTTP/{version}".encode()))
        raw.until(b"]")
        assert raw.is_silent() if kept else raw.rest() == (b"", "fin")
