"""The calls beside `score`: any JSON, bytes, swagger, health (B12-B14, B34, B52, B53, B70, B71)."""

import gzip
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from raw_server import Play, RawServer, close, refused_port, reply, silence
from scoring_client import ReplyError, ScoringClient, ServiceError, TransportError

Serve = Callable[..., RawServer]
KEY = "Zk3vWq8RsT"
CALLS: dict[str, Callable[..., Any]] = {
    "score": lambda client, **options: client.score([[1.5]], **options),
    "score_json": lambda client, **options: client.score_json({}, **options),
    "score_bytes": lambda client, **options: client.score_bytes(b"x", **options),
    "swagger": lambda client, **options: client.swagger(**options),
    "is_healthy": lambda client, **options: client.is_healthy(**options),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


def exchange(serve: Serve, payload: Any, body: bytes = b"{}") -> tuple[RawServer, Any]:
    server = serve(reply(body))
    with ScoringClient(server.uri, key=KEY) as client:
        return server, client.score_json(payload)


@pytest.mark.parametrize(
    ("payload", "body"),
    [
        ({"data": [{"a": 1}], "method": "predict"}, b'{"data":[{"a":1}],"method":"predict"}'),
        ({"id": 9007199254740993, "big": 2**200}, f'{{"id":9007199254740993,"big":{2**200}}}'.encode()),
        ([1, 2.5, -0.0, 1e300, None, True], b"[1,2.5,-0.0,1e+300,null,true]"),
        (None, b"null"),
        (7, b"7"),
    ],
)
# Proves B12, B13, B14.
def test_json_goes_out_once(serve: Serve, payload: Any, body: bytes) -> None:
    server, _ = exchange(serve, payload)
    [request] = server.requests
    assert request.line == "POST /score HTTP/1.1"
    assert request.header("Content-Type") == "application/json"
    assert request.header("Authorization") == f"Bearer {KEY}"
    assert request.body == body


# Proves B13.
def test_json_of_any_language_arrives(serve: Serve) -> None:
    payload = {"ü": "\u2028 😀 İı ß", "": ['"\\/\b']}
    server, _ = exchange(serve, payload)
    assert json.loads(server.requests[0].body.decode("utf-8")) == payload


# Proves B13.
@pytest.mark.parametrize(("payload", "kind"), [("{}", "str"), (b"{}", "bytes"), (bytearray(b"{}"), "bytearray")])
def test_encoded_json_is_refused(serve: Serve, payload: Any, kind: str) -> None:
    server = serve()
    with ScoringClient(server.uri) as client, pytest.raises(TypeError) as caught:
        client.score_json(payload)
    expected = f"the payload is a {kind}: it would be encoded twice; use json.loads or score_bytes"
    assert str(caught.value) == expected
    assert server.connections == 0


# Proves B13.
@pytest.mark.parametrize(
    ("payload", "kind"),
    [({"x": math.nan}, ValueError), ([math.inf], ValueError), ({"x": {1, 2}}, TypeError), (object(), TypeError)],
)
def test_what_is_no_json_is_refused(serve: Serve, payload: Any, kind: type[Exception]) -> None:
    server = serve()
    with ScoringClient(server.uri) as client, pytest.raises(kind):
        client.score_json(payload)
    assert server.connections == 0


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"id": 9007199254740993}', {"id": 9007199254740993}),
        (b'"[1.5]"', "[1.5]"),  # no second decoding
        (b"null", None),
        (b"true", True),
        (b"[1, 2.5, 1e400]", [1, 2.5, math.inf]),
        (b"\xef\xbb\xbf{}", {}),
        ('"ü"'.encode(), "ü"),
        (b"[" * 64 + b"]" * 64, json.loads("[" * 64 + "]" * 64)),
    ],
)
# Proves B52.
def test_any_json_comes_back(serve: Serve, body: bytes, value: Any) -> None:
    _, result = exchange(serve, {}, body)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the reply is empty"),
        (b"<html>", "the reply is not JSON"),
        (b"{} {}", "the reply is not JSON"),
        (b'{"x": NaN}', "the reply contains NaN or Infinity, which is not JSON"),
        (b"-Infinity", "the reply contains NaN or Infinity, which is not JSON"),
        (b'"\xff"', "the reply is not valid UTF-8"),
        (b"[" * 100_000, "the reply is not JSON"),
    ],
)
@pytest.mark.parametrize("name", ["score_json", "swagger"])
# Proves B52.
def test_what_is_no_json_is_a_reply_error(serve: Serve, body: bytes, reason: str, name: str) -> None:
    server = serve(reply(body))
    with ScoringClient(server.uri) as client, pytest.raises(ReplyError) as caught:
        CALLS[name](client)
    assert (caught.value.reason, caught.value.attempts) == (reason, 1)


# Proves B12.
@pytest.mark.parametrize("body", [b"", b"\0\xff\r\n\r\n", bytearray(b"P5"), memoryview(b"P5")])
def test_bytes_travel_untouched(serve: Serve, body: Any) -> None:
    server = serve(reply(b"\xff\0not JSON"))
    with ScoringClient(server.uri) as client:
        assert client.score_bytes(body, "image/png; q=1") == b"\xff\0not JSON"
    [request] = server.requests
    assert request.body == bytes(body)
    assert request.header("Content-Type") == "image/png; q=1"
    assert request.header("Content-Length") == str(len(body))


# Proves B12.
def test_bytes_have_a_type(serve: Serve) -> None:
    server = serve(reply(b""))
    with ScoringClient(server.uri) as client:
        assert client.score_bytes(b"x") == b""
    assert server.requests[0].header("Content-Type") == "application/octet-stream"


@pytest.mark.parametrize(
    ("content_type", "text"),
    [
        ("", "the content type is empty"),
        ("text/plain\r\nX: y", "the content type has a character that cannot be sent in a header at position 10"),
        ("text/plain\n", "the content type has a character that cannot be sent in a header at position 10"),
        (" text/plain", "the content type has a character that cannot be sent in a header at position 0"),
        ("text/plain ", "the content type has a character that cannot be sent in a header at position 10"),
        ("text/plän", "the content type has a character that cannot be sent in a header at position 7"),
    ],
)
# Proves B02, B12.
def test_content_types_that_cannot_travel(serve: Serve, content_type: str, text: str) -> None:
    server = serve()
    with ScoringClient(server.uri) as client, pytest.raises(ValueError) as caught:
        client.score_bytes(b"x", content_type)
    assert str(caught.value) == text
    assert server.connections == 0


def test_text_is_no_bytes() -> None:
    client = ScoringClient("https://service.test/score")
    with client:
        for body in ("x", 3, [120]):
            with pytest.raises(TypeError, match="a bytes-like object is required"):
                client.score_bytes(body)  # type: ignore[arg-type]


# Proves B53.
@pytest.mark.parametrize("name", ["score", "score_json", "score_bytes", "swagger"])
def test_compressed_replies(serve: Serve, name: str) -> None:
    server = serve(reply(gzip.compress(b"[0.5]"), 200, ("Content-Encoding", "gzip")))
    with ScoringClient(server.uri) as client, pytest.raises(ReplyError, match="Content-Encoding: gzip"):
        CALLS[name](client)


# Proves B12, B13, B54.
def test_twenty_megabytes(serve: Serve) -> None:
    body = b"0123456789abcdef" * (20 * 1024 * 1024 // 16)
    server = serve(reply(body))
    with ScoringClient(server.uri) as client:
        assert client.score_bytes(body) == body
    assert server.requests[0].body == body


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("/score", "/"),
        ("/api/v1/service/My-Service/score", "/api/v1/service/My-Service/"),
        ("/score/", "/score/"),
        ("", "/"),
        ("/score?x=a/b", "/"),
        ("/a%2fb//c/score", "/a%2fb//c/"),
    ],
)
# Proves B70, B71.
def test_targets_beside_the_scoring_uri(serve: Serve, path: str, folder: str) -> None:
    server = serve(reply(b'{"openapi": "3.0.0"}'), reply(b"Healthy"))
    with ScoringClient(server.uri.removesuffix("/score") + path, key=KEY, deployment="blue") as client:
        assert client.swagger() == {"openapi": "3.0.0"}
        assert client.is_healthy()
    assert [request.line for request in server.requests] == [
        f"GET {folder}swagger.json HTTP/1.1",
        f"GET {folder} HTTP/1.1",
    ]
    for request in server.requests:
        assert request.header("Authorization") == f"Bearer {KEY}"
        assert request.header("x-ms-client-request-id")
        assert request.header("azureml-model-deployment") is None
        assert request.header("Content-Type") is None
        assert request.header("Content-Length") is None
        assert request.body == b""


# Proves B63, B70.
def test_no_swagger(serve: Serve) -> None:
    server = serve(reply({"message": "no"}, 404))
    with ScoringClient(server.uri + "?code=secret") as client, pytest.raises(ServiceError) as caught:
        client.swagger()
    assert str(caught.value) == f"GET {server.uri.removesuffix('score')}swagger.json: 404: no (1 attempt)"


# Proves B70.
@pytest.mark.parametrize("play", [reply({}, 503), close()])
def test_swagger_is_repeated(serve: Serve, play: Play) -> None:
    server = serve(play, reply(b"{}"))
    with ScoringClient(server.uri) as client:
        client._sleep = lambda _: None
        assert client.swagger() == {}
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("play", "healthy"),
    [
        (reply(b"Healthy"), True),
        (reply(b'"Healthy"'), True),
        (reply(b"Healthy\n"), True),
        (reply(b"\xef\xbb\xbf Healthy\r\n"), True),
        (reply(b"\xef\xbb\xbf\xef\xbb\xbfHealthy"), False),
        (reply(b"Healthy\x0b"), False),
        (reply(b"Healthy", 204 + 1), True),
        (reply(b"healthy"), False),
        (reply(b"Unhealthy"), False),
        (reply(b"'Healthy'"), False),
        (reply(b""), False),
        (reply(b"\xff"), False),
        (reply(b"<html>Sign in"), False),
        (reply(b"Healthy", 404), False),
        (reply(b"Healthy", 503), False),
        (reply(b"Healthy", 401), False),
        (reply(b"", 302, ("Location", "/login")), False),
        (reply(gzip.compress(b"Healthy"), 200, ("Content-Encoding", "gzip")), False),
        (reply(b"Healthy" + b" " * 1000), False),
    ],
)
# Proves B71.
def test_health(serve: Serve, play: Play, healthy: bool) -> None:
    server = serve(play, reply(b"Healthy"))
    with ScoringClient(server.uri, max_reply_bytes=1000) as client:
        assert client.is_healthy() is healthy
    assert len(server.requests) == 1


# Proves B63, B71.
def test_health_without_an_answer(serve: Serve) -> None:
    server = serve(close(), reply(b"Healthy"))
    with ScoringClient(server.uri) as client, pytest.raises(TransportError) as caught:
        client.is_healthy()
    text = "the connection was closed before the reply (1 attempt)"
    assert str(caught.value) == f"GET {server.uri.removesuffix('score')}: {text}"
    with (
        refused_port() as port,
        ScoringClient(f"http://127.0.0.1:{port}/score") as client,
        pytest.raises(TransportError, match=r"connection refused \(1 attempt\)"),
    ):
        client.is_healthy()


# Proves B31, B34, B71.
@each_call
@pytest.mark.parametrize("option", ["timeout", "attempt_timeout"])
def test_every_call_has_its_limits(serve: Serve, call: Callable[..., Any], option: str) -> None:
    server = serve(silence())
    with ScoringClient(server.uri, **{option: 0.1}) as client, pytest.raises(TransportError) as caught:  # type: ignore[arg-type]
        call(client)
    assert caught.value.timed_out
    assert "no complete reply within 0.1 s (1 attempt)" in str(caught.value)


# Proves B34.
@each_call
def test_every_call_can_be_limited(serve: Serve, call: Callable[..., Any]) -> None:
    server = serve(silence())
    with ScoringClient(server.uri) as client, pytest.raises(TransportError, match=r"within 0\.1 s"):
        call(client, timeout=0.1)


# Proves B03.
@each_call
def test_every_call_of_a_closed_client(serve: Serve, call: Callable[..., Any]) -> None:
    server = serve()
    client = ScoringClient(server.uri)
    client.close()
    with pytest.raises(RuntimeError, match=r"^the client is closed$"):
        call(client)
    assert server.connections == 0


# Proves B02.
@pytest.mark.parametrize("name", ["score", "score_json", "score_bytes"])
def test_deployment_goes_with_scoring_calls(serve: Serve, name: str) -> None:
    server = serve(reply([0.5]))
    with ScoringClient(server.uri, deployment="blue-2") as client:
        CALLS[name](client)
    assert server.requests[0].header("azureml-model-deployment") == "blue-2"


# Proves B16.
@each_call
def test_nothing_compressed_is_asked_for(serve: Serve, call: Callable[..., Any]) -> None:
    server = serve(reply([0.5]))
    with ScoringClient(server.uri) as client:
        call(client)
    assert server.requests[0].header("Accept-Encoding") == "identity"
    for name in ("Expect", "Upgrade", "Cookie", "x-request-id", "Transfer-Encoding"):
        assert server.requests[0].header(name) is None
