"""What is sent (B01, B03, B10, B12, B14-B17)."""

import array
import fractions
import json
import math
import struct
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from typing import Any

import pytest
from raw_server import RawServer, close, reply
from scoring_client import ScoringClient

Serve = Callable[..., RawServer]
KEY = "Zk3vWq8RsT+/=~!"


# Proves B10, B12, B14, B16, B17.
def test_every_byte_of_a_request(serve: Serve) -> None:
    server = serve(reply([0.5, 0.25]))
    with ScoringClient(server.uri, key=KEY) as client:
        assert client.score([[1.5, -2.0], [3, 1e21]]) == [0.5, 0.25]
    [request] = server.requests
    assert request.line == "POST /score HTTP/1.1"
    assert [name for name, _ in request.headers] == [
        "Host",
        "Content-Length",
        "User-Agent",
        "Accept-Encoding",
        "Content-Type",
        "x-ms-client-request-id",
        "Authorization",
    ]
    assert request.header("Host") == f"127.0.0.1:{server.port}"
    assert request.header("Content-Length") == str(len(request.body))
    assert request.header("User-Agent") == f"python-urllib3/{metadata.version('urllib3')}"
    assert request.header("Accept-Encoding") == "identity"
    assert request.header("Content-Type") == "application/json"
    assert request.header("Authorization") == f"Bearer {KEY}"
    assert request.body == b'{"data":[[1.5,-2.0],[3.0,1e+21]]}'


# Proves B14.
def test_no_key_no_authorization(serve: Serve) -> None:
    server = serve(reply([0.5]))
    with ScoringClient(server.uri) as client:
        client.score([[1.5]])
    assert server.requests[0].header("Authorization") is None


# Proves B15.
def test_client_request_id_is_a_new_uuid_for_each_call(serve: Serve) -> None:
    server = serve(reply([0.5]), reply([0.5]))
    with ScoringClient(server.uri) as client:
        client.score([[1.5]])
        client.score([[1.5]])
    ids = [request.header("x-ms-client-request-id") for request in server.requests]
    assert [str(uuid.UUID(text)) for text in ids] == ids
    assert len(set(ids)) == 2


@pytest.mark.parametrize(
    "target",
    [
        "/score",
        "/api/v1/service/My-Service/score",
        "/score/",
        "//a//b",
        "/a%2fb%2Fc/%c3%A9",
        "/score?x=1&y=%2f&y=",
        "/score?",
        "/score?a/b?c",
        "/a;b=c,d:e@f!$&'()*+",
        "/[a]?[b]",
    ],
)
# Proves B01.
def test_target_goes_out_as_given(serve: Serve, target: str) -> None:
    server = serve(reply([0.5]))
    with ScoringClient(server.uri.removesuffix("/score") + target) as client:
        client.score([[1.5]])
    assert server.requests[0].line == f"POST {target} HTTP/1.1"


@pytest.mark.parametrize(("rest", "target"), [("", "/"), ("?x=1", "/?x=1")])
def test_target_without_a_path(serve: Serve, rest: str, target: str) -> None:
    server = serve(reply([0.5]))
    with ScoringClient(server.uri.removesuffix("/score") + rest) as client:
        client.score([[1.5]])
    assert server.requests[0].line == f"POST {target} HTTP/1.1"


DOUBLES = [
    0.1,
    0.1 + 0.2,
    1e21,
    1e22,
    1e-7,
    5e-324,
    -5e-324,
    2.2250738585072011e-308,
    2.2250738585072014e-308,
    1.7976931348623157e308,
    -1.7976931348623157e308,
    -0.0,
    0.0,
    123456789.123456789,
    9007199254740993.0,
    math.pi,
]


# Proves B10.
def test_doubles_arrive_bit_for_bit(serve: Serve) -> None:
    server = serve(reply([0.5]))
    with ScoringClient(server.uri) as client:
        client.score([DOUBLES])
    assert bits(json.loads(server.requests[0].body)["data"][0]) == bits(DOUBLES)


# Proves B51.
def test_predictions_are_read_bit_for_bit(serve: Serve) -> None:
    server = serve(reply(json.dumps(DOUBLES).encode()))
    with ScoringClient(server.uri) as client:
        assert bits(client.score([[1.5]] * len(DOUBLES))) == bits(DOUBLES)


def bits(numbers: list[float]) -> list[str]:
    return [struct.pack(">d", number).hex() for number in numbers]


class Scalar:
    """What numpy's numbers are to this client."""

    def __float__(self) -> float:
        return 2.5


@pytest.mark.parametrize(
    ("rows", "body"),
    [
        ([], b'{"data":[]}'),
        ([[]], b'{"data":[[]]}'),
        ([[1.5], [], [2.5, 3.5]], b'{"data":[[1.5],[],[2.5,3.5]]}'),
        (((1, 2), (3, 4)), b'{"data":[[1.0,2.0],[3.0,4.0]]}'),
        ((iter([x]) for x in (1.5, 2.5)), b'{"data":[[1.5],[2.5]]}'),
        ([array.array("f", [0.5])], b'{"data":[[0.5]]}'),
        ([[Scalar(), fractions.Fraction(1, 4), True]], b'{"data":[[2.5,0.25,1.0]]}'),
    ],
)
# Proves B10, B11.
def test_rows_of_any_kind_and_shape(serve: Serve, rows: Any, body: bytes) -> None:
    count = len(json.loads(body)["data"])
    server = serve(reply([0.5] * count))
    with ScoringClient(server.uri) as client:
        assert client.score(rows) == [0.5] * count
    assert server.requests[0].body == body


# Proves B03.
def test_connection_is_kept(serve: Serve) -> None:
    server = serve(reply([0.5]), reply([0.25]), reply({"message": "no"}, 400), reply([0.125]))
    with ScoringClient(server.uri) as client:
        assert client.score([[1.5]]) == [0.5]
        assert client.score([[1.5]]) == [0.25]
        with pytest.raises(Exception, match="400: no"):
            client.score([[1.5]])
        assert client.score([[1.5]]) == [0.125]
    assert server.connections == 1


# Proves B40.
def test_connection_that_the_service_closed_while_idle_is_replaced(serve: Serve) -> None:
    server = serve(close(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n[0.5]"), reply([0.25]))
    with ScoringClient(server.uri) as client:
        assert client.score([[1.5]]) == [0.5]
        assert server.ended.wait(30)
        assert client.score([[1.5]]) == [0.25]
    assert (server.connections, len(server.requests)) == (2, 2)


def test_service_that_closes_after_every_reply(serve: Serve) -> None:
    server = serve(*[close(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n[0.5]")] * 3)
    with ScoringClient(server.uri) as client:
        assert [client.score([[1.5]]) for _ in range(3)] == [[0.5]] * 3
    assert len(server.requests) == 3


# Proves B03.
def test_threads_share_a_client(serve: Serve) -> None:
    calls = 200
    server = serve(echo=True)
    with ScoringClient(server.uri, key=KEY) as client, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda number: client.score([[number], [number + 0.5]]), range(calls)))
    assert answers == [[float(number), number + 0.5] for number in range(calls)]
    assert len(server.requests) == calls
    assert server.connections <= 8


# Proves B16.
def test_no_cookies_are_kept(serve: Serve) -> None:
    server = serve(reply([0.5], 200, ("Set-Cookie", "a=b; Path=/")), reply([0.5]))
    with ScoringClient(server.uri) as client:
        client.score([[1.5]])
        client.score([[1.5]])
    assert server.requests[1].header("Cookie") is None


# Proves B22.
def test_netrc_is_not_read(serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server = serve(reply([0.5]), reply([0.5]))
    for key in (None, KEY):
        with ScoringClient(server.uri, key=key) as client:
            client.score([[1.5]])
    assert [request.header("Authorization") for request in server.requests] == [None, f"Bearer {KEY}"]


# Proves B03.
def test_closed_client(serve: Serve) -> None:
    server = serve(reply([0.5]))
    client = ScoringClient(server.uri)
    assert client.score([[1.5]]) == [0.5]
    client.close()
    client.close()
    assert server.hung_up.wait(30)
    with pytest.raises(RuntimeError, match=r"^the client is closed$"):
        client.score([[1.5]])
    assert len(server.requests) == 1
