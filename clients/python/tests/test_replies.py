"""What counts as predictions, and what is said of the rest (B47, B50-B54, B64)."""

import gzip
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from raw_server import Play, RawServer, close, message, raw, reply
from scoring_client import ReplyError, ScoringClient, ServiceError, TransportError

Serve = Callable[..., RawServer]
KEY = "Zk3vWq8RsT"
JSON = ("Content-Type", "application/json")


def score(server: RawServer, rows: int = 2, **options: Any) -> list[float]:
    with ScoringClient(server.uri, **{"max_retries": 0, **options}) as client:
        return client.score([[1.5]] * rows)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the reply is empty"),
        (b" \r\n\t", "the reply is empty"),
        (b"\xef\xbb\xbf", "the reply is empty"),
        (b"<html>Sign in</html>", "the reply is not JSON"),
        (b"[1.5, 2.5", "the reply is not JSON"),
        (b"[1.5, 2.5,]", "the reply is not JSON"),
        (b"[1.5, 2.5] ok", "the reply is not JSON"),
        (b"[1.5, 2.5][1.5, 2.5]", "the reply is not JSON"),
        (b"[1.5, 2.5]\0", "the reply is not JSON"),
        (b"[1.5, 02.5]", "the reply is not JSON"),
        (b"[1.5, 2.]", "the reply is not JSON"),
        (b"[1.5, .5]", "the reply is not JSON"),
        (b"[1.5, +2.5]", "the reply is not JSON"),
        (b"[1.5, 0x10]", "the reply is not JSON"),
        (b"[1.5, nan]", "the reply is not JSON"),
        (b"[1.5, 2.5] // two", "the reply is not JSON"),
        (b"['1.5', 2.5]", "the reply is not JSON"),
        (b"\xef\xbb\xbf\xef\xbb\xbf[1.5, 2.5]", "the reply is not JSON"),
        (b"\xc2\xa0[1.5, 2.5]", "the reply is not JSON"),
        (b"{}", "the reply is a JSON object, not an array"),
        (b'{"result": [1.5, 2.5]}', "the reply is a JSON object, not an array"),
        (b'{"error": "no model"}', "the reply is a JSON object, not an array: no model"),
        (b'{"error": {"code": 1, "message": "no"}}', "the reply is a JSON object, not an array: no"),
        (b'{"error": {"message": 1}}', "the reply is a JSON object, not an array"),
        (b'{"error": " "}', "the reply is a JSON object, not an array"),
        (b'{"error": 1}', "the reply is a JSON object, not an array"),
        (b'{"error": null}', "the reply is a JSON object, not an array"),
        (
            b'"[1.5, 2.5]"',
            "the reply is a JSON string, not an array; the scoring script probably calls json.dumps itself",
        ),
        (b"1.5", "the reply is a JSON number, not an array"),
        (b"15", "the reply is a JSON number, not an array"),
        (b"true", "the reply is a JSON boolean, not an array"),
        (b"null", "the reply is a JSON null, not an array"),
        (b"NaN", "the reply contains NaN or Infinity, which is not JSON"),
        (b"[1.5, NaN]", "the reply contains NaN or Infinity, which is not JSON"),
        (b"[Infinity, 1.5]", "the reply contains NaN or Infinity, which is not JSON"),
        (b"[1.5, -Infinity]", "the reply contains NaN or Infinity, which is not JSON"),
        (b'{"x": NaN}', "the reply contains NaN or Infinity, which is not JSON"),
        (b'[1.5, "2.5"]', "element 1 of the reply is a JSON string, not a number"),
        (b"[true, 2.5]", "element 0 of the reply is a JSON boolean, not a number"),
        (b"[1.5, null]", "element 1 of the reply is a JSON null, not a number"),
        (b"[1.5, {}]", "element 1 of the reply is a JSON object, not a number"),
        (b"[[1.5], [2.5]]", "element 0 of the reply is a JSON array, not a number"),
        (b"[1.5, 2.5, 3.5, false]", "element 3 of the reply is a JSON boolean, not a number"),
        (b"[1.5, 1e400]", "element 1 of the reply is not a finite number"),
        (b"[-1e400, 1.5]", "element 0 of the reply is not a finite number"),
        (b"[1" + b"0" * 5000 + b", 1.5]", "element 0 of the reply is not a finite number"),
        (b"[]", "the reply has 0 predictions for 2 rows"),
        (b"[1.5]", "the reply has 1 predictions for 2 rows"),
        (b"[1.5, 2.5, 3.5]", "the reply has 3 predictions for 2 rows"),
        (b"[1.5, 2.5] \xff\xff", "the reply is not valid UTF-8"),
        (b'"\xed\xa0\x80"', "the reply is not valid UTF-8"),
        ("[1.5, 2.5]".encode("utf-16"), "the reply is not valid UTF-8"),
    ],
)
# Proves B47, B51, B64.
def test_what_is_no_prediction(serve: Serve, body: bytes, reason: str) -> None:
    server = serve(reply(body, 200, JSON))
    with pytest.raises(ReplyError) as caught:
        score(server)
    error = caught.value
    assert (error.reason, error.attempts) == (reason, 1)
    excerpt = f": {error.excerpt}" if error.excerpt else ""
    assert str(error) == f"POST {server.uri}: {reason}{excerpt} (1 attempt)"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"[1.5, 2.5]",
        b"\xef\xbb\xbf[1.5, 2.5]",
        b" \n[1.5\t,\r\n2.5] \n",
        b"[15e-1, 2.5E0]",
        b"[1.5, 0.25e+1]",
    ],
)
@pytest.mark.parametrize(
    "headers",
    [
        [JSON],
        [],
        [("Content-Type", "text/plain")],
        [("Content-Type", "application/json; charset=iso-8859-1")],
        [("Content-Type", "application/json; charset=nonsense")],
        [("Content-Encoding", "identity")],
        [("Content-Encoding", "")],
    ],
)
# Proves B51, B52.
def test_what_surrounds_predictions_does_not_matter(serve: Serve, body: bytes, headers: list[tuple[str, str]]) -> None:
    assert score(serve(reply(body, 200, *headers))) == [1.5, 2.5]


# Proves B50.
@pytest.mark.parametrize("status", [200, 201, 202, 206, 299])
def test_every_2xx_is_a_success(serve: Serve, status: int) -> None:
    assert score(serve(reply([1.5, 2.5], status))) == [1.5, 2.5]


@pytest.mark.parametrize("status", [204, 205])
def test_a_success_without_body(serve: Serve, status: int) -> None:
    with pytest.raises(ReplyError, match="the reply is empty"):
        score(serve(raw(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())))


def test_integers_are_doubles(serve: Serve) -> None:
    predictions = score(serve(reply(b"[1, -0, 9007199254740993]")), rows=3)
    assert predictions == [1.0, 0.0, 9007199254740992.0]
    assert [type(prediction) for prediction in predictions] == [float] * 3


def test_no_rows(serve: Serve) -> None:
    assert score(serve(reply([])), rows=0) == []


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "play",
    [
        raw(CHUNKED + b"6\r\n[1.5, \r\n4;x=y\r\n2.5]\r\n0\r\nTrailer: x\r\n\r\n"),
        raw(b"HTTP/1.1 100 Continue\r\n\r\n" + message([1.5, 2.5])),
        raw(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 3 + message([1.5, 2.5])),
        raw(b"HTTP/1.1 102 Processing\r\n\r\n" * 200 + message([1.5, 2.5])),
        close(b"HTTP/1.1 200 OK\r\n\r\n[1.5, 2.5]"),
        close(b"HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\n[1.5, 2.5]"),
        close(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[1.5, 2.5]"),
    ],
)
# Proves B50.
def test_every_framing_is_read(serve: Serve, play: Play) -> None:
    assert score(serve(play)) == [1.5, 2.5]


# Proves B53.
def test_compressed_reply(serve: Serve) -> None:
    server = serve(reply(gzip.compress(b"[1.5, 2.5]"), 200, JSON, ("content-encoding", "gzip")))
    with pytest.raises(ReplyError) as caught:
        score(server)
    assert str(caught.value) == (
        f"POST {server.uri}: the reply has Content-Encoding: gzip, which was not asked for (1 attempt)"
    )


PADDED = b"[1.5, 2.5]" + b" " * 90


@pytest.mark.parametrize(
    "data",
    [
        message(PADDED),
        CHUNKED + b"64\r\n" + PADDED + b"\r\n0\r\n\r\n",
        CHUNKED + b"63\r\n" + PADDED[:99] + b"\r\n1\r\n \r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + PADDED,
    ],
)
# Proves B54.
def test_max_reply_bytes(serve: Serve, data: bytes) -> None:
    assert score(serve(close(data)), max_reply_bytes=100) == [1.5, 2.5]
    server = serve(close(data))
    with pytest.raises(ReplyError) as caught:
        score(server, max_reply_bytes=99)
    assert caught.value.reason == "the reply is larger than 99 bytes"
    assert caught.value.excerpt == "[1.5, 2.5]"


# Proves B54.
def test_endless_reply_ends_at_the_limit_and_closes_its_connection(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive, kept = ScoringClient._receive, []

    def keep(self: ScoringClient, call: Any, response: Any, read: Any) -> Any:
        kept.append(response)  # so that it is not the garbage collector that closes it
        return receive(self, call, response, read)

    monkeypatch.setattr(ScoringClient, "_receive", keep)

    def endless(stream: Any) -> bool:
        stream.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            stream.sendall(b"[" * 65536)

    server = serve(endless, reply([1.5]))
    with ScoringClient(server.uri, max_reply_bytes=1_000_000) as client:
        with pytest.raises(ReplyError, match="the reply is larger than 1000000 bytes"):
            client.score([[1.5]])
        assert server.hung_up.wait(30)
        assert client.score([[1.5]]) == [1.5]


# Proves B52.
@pytest.mark.parametrize("body", [b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000])
def test_deep_nesting_crashes_nothing(serve: Serve, body: bytes) -> None:
    with pytest.raises(ReplyError, match="the reply is not JSON"):
        score(serve(reply(body)))


def test_deep_nesting_in_a_thread(serve: Serve) -> None:
    server = serve(reply(b"[" * 100_000))
    caught: list[Exception] = []

    def call() -> None:
        try:
            score(server)
        except ReplyError as error:
            caught.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join(30)
    assert [type(error) for error in caught] == [ReplyError]


# Proves B52.
def test_64_levels_are_read(serve: Serve) -> None:
    with pytest.raises(ReplyError, match="element 0 of the reply is a JSON array, not a number"):
        score(serve(reply(b"[" * 64 + b"1.5" + b"]" * 64)))
    with pytest.raises(ServiceError, match="400: deep"):
        score(serve(reply(b'{"x": ' + b"[" * 63 + b"]" * 63 + b', "message": "deep"}', 400)))


# Proves B64.
def test_excerpt_is_one_short_line(serve: Serve) -> None:
    body = "\x1b[31m<p>\r\nzeile\u2028ü\u202e" + "x" * 1000
    with pytest.raises(ReplyError) as caught:
        score(serve(reply(body.encode())))
    excerpt = caught.value.excerpt
    assert excerpt.startswith("[31m<p>  zeile ü xxx")
    assert excerpt.endswith("x…")
    assert len(excerpt) <= 300
    assert excerpt.isprintable()
    assert excerpt in str(caught.value)


def test_large_reply(serve: Serve) -> None:
    numbers = [number + 0.5 for number in range(200_000)]
    assert score(serve(reply(json.dumps(numbers).encode())), rows=len(numbers)) == numbers


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[1.5, 2.5]",
        CHUNKED + b"a\r\n[1.5, 2.5]",
        CHUNKED + b"a\r\n[1.5, 2.5]\r\n",
        CHUNKED + b"64\r\n[1.5, 2.5]",
        CHUNKED + b"zz\r\n[1.5, 2.5]\r\n0\r\n\r\n",
        CHUNKED + b"-5\r\n[1.5, 2.5]\r\n0\r\n\r\n",
    ],
)
# Proves B40.
def test_a_reply_that_is_cut_is_no_reply(serve: Serve, data: bytes) -> None:
    server = serve(close(data))
    with pytest.raises(TransportError, match="the reply was cut off") as caught:
        score(server)
    assert not caught.value.timed_out
    assert len(server.requests) == 1
