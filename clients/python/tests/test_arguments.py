"""What is refused before anything is sent (B01, B02, B11, B20, B23)."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from raw_server import RawServer, reply
from scoring_client import AccessToken, ScoringClient

KEY = "Zk3vWq8RsT"
HTTPS = "https://service.test/score"


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:4711/score",
        "https://service.test/score",
        "HTTPS://Service.Test/API/v1/Score",
        "https://service.test",
        "https://service.test/a//b/?x=1&y=%2F%2f",
        "https://service.test/...",
        "https://service.test/.well-known/a.b",
        "http://[::1]:80/score",
        "https://service.test:8443/score;v=1,2",
    ],
)
# Proves B01.
def test_uri_accepted(uri: str) -> None:
    ScoringClient(uri).close()


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "score",
        "/score",
        "//service.test/score",
        "service.test/score",
        "service.test:8080/score",
        "localhost:5001/score",
        "ftp://service.test/score",
        "file:///score",
        "http:///score",
        "http://",
        "https:service.test/score",
        "https://service.test:99999/score",
        "https://service.test:0/score",
        "https://service.test:port/score",
        "https://[::1/score",
        "https://service%2Etest/score",
        "https://service.test/%",
        "https://service.test/%4",
        "https://service.test/%zz",
    ],
)
# Proves B01.
def test_uri_not_absolute(uri: str) -> None:
    with pytest.raises(ValueError, match=r"^the scoring URI must be an absolute http or https URI$"):
        ScoringClient(uri)


@pytest.mark.parametrize(
    ("uri", "position"),
    [
        (" https://service.test/score", 0),
        ("https://service.test/score\n", 26),
        ("https://service.test/sc ore", 23),
        ("https://service.test/sc\tore", 23),
        ("https://service.test/scöre", 23),
        ("https://service.test/{name}", 21),
        ('https://service.test/"', 21),
        ("https://service.test/a\\b", 22),
        ("score\x7f", 5),
    ],
)
# Proves B01.
def test_uri_with_a_character_that_no_uri_can_have(uri: str, position: int) -> None:
    with pytest.raises(ValueError) as caught:
        ScoringClient(uri)
    text = f"the scoring URI has a character that no URI can have at position {position} (a trailing newline?)"
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("uri", "what"),
    [
        ("https://user@service.test/score", "user info"),
        ("https://user:pass@service.test/score", "user info"),
        ("https://@service.test/score", "user info"),
        ("https://service.test/score#top", "a fragment"),
        ("https://service.test/score#", "a fragment"),
        ("https://service.test/a/../score", "dot segments"),
        ("https://service.test/./score", "dot segments"),
        ("https://service.test/score/..", "dot segments"),
        ("https://service.test/%41", "needless percent escapes (%41)"),
        ("https://service.test/a%2Db", "needless percent escapes (%2D)"),
        ("https://service.test/%2e%2e/score", "needless percent escapes (%2e)"),
        ("https://service.test/score?x=%7e", "needless percent escapes (%7e)"),
    ],
)
# Proves B01.
def test_uri_must_not_contain(uri: str, what: str) -> None:
    with pytest.raises(ValueError) as caught:
        ScoringClient(uri)
    assert str(caught.value) == f"the scoring URI must not contain {what}"


def test_uri_of_a_wrong_type() -> None:
    with pytest.raises(TypeError, match="the scoring URI must be a str, not bytes"):
        ScoringClient(b"https://service.test/score")  # type: ignore[arg-type]


TIMES = ["timeout", "attempt_timeout", "connect_timeout", "base_delay", "max_delay"]


# Proves B02.
@pytest.mark.parametrize("option", TIMES)
@pytest.mark.parametrize("seconds", [0, 0.0, -1, math.nan, math.inf, -math.inf, "5", None])
def test_times_that_make_no_sense(option: str, seconds: Any) -> None:
    with pytest.raises(ValueError, match=f"^{option} must be a finite number of seconds above 0$"):
        ScoringClient(HTTPS, **{option: seconds})


# Proves B34.
@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf])
def test_time_of_one_call_that_makes_no_sense(serve: Callable[..., RawServer], seconds: float) -> None:
    server = serve()
    with ScoringClient(server.uri) as client, pytest.raises(ValueError, match=r"^timeout must be"):
        client.score([[1.5]], timeout=seconds)
    assert server.connections == 0


@pytest.mark.parametrize("seconds", [1, 1e9, 1e300, 10**400])
def test_long_times_are_allowed(serve: Callable[..., RawServer], seconds: float) -> None:
    server = serve(reply([2.5]))
    with ScoringClient(server.uri, **dict.fromkeys(TIMES, seconds)) as client:  # type: ignore[arg-type]
        assert client.score([[1.5]]) == [2.5]


# Proves B02.
@pytest.mark.parametrize("size", [0, -1, 1.5, "64", None])
def test_max_reply_bytes_that_makes_no_sense(size: Any) -> None:
    with pytest.raises(ValueError, match=r"^max_reply_bytes must be a whole number above 0$"):
        ScoringClient(HTTPS, max_reply_bytes=size)


# Proves B02.
@pytest.mark.parametrize("count", [-1, 1.5, "3", None])
def test_max_retries_that_makes_no_sense(count: Any) -> None:
    with pytest.raises(ValueError, match=r"^max_retries must be a whole number above -1$"):
        ScoringClient(HTTPS, max_retries=count)


# Proves B02.
@pytest.mark.parametrize("status", [200, 399, 600, -1, "503", 503.0])
def test_retry_statuses_that_make_no_sense(status: Any) -> None:
    with pytest.raises(ValueError) as caught:
        ScoringClient(HTTPS, retry_statuses=[503, status])
    assert str(caught.value) == f"retry_statuses: {status} is not between 400 and 599"
    ScoringClient(HTTPS, retry_statuses=[400, 599]).close()
    ScoringClient(HTTPS, retry_statuses=()).close()


@pytest.mark.parametrize(
    ("deployment", "text"),
    [
        ("", "the deployment is empty"),
        ("blu e", "the deployment has a character that cannot be sent in a header at position 3"),
        ("blue\r\nX-Injected: 1", "the deployment has a character that cannot be sent in a header at position 4"),
        ("blaü", "the deployment has a character that cannot be sent in a header at position 3"),
    ],
)
# Proves B02.
def test_deployments_that_cannot_travel(deployment: str, text: str) -> None:
    with pytest.raises(ValueError) as caught:
        ScoringClient(HTTPS, deployment=deployment)
    assert str(caught.value) == text


# Proves B02.
def test_two_credentials() -> None:
    with pytest.raises(ValueError, match=r"^key and token_provider exclude each other$"):
        ScoringClient(HTTPS, key=KEY, token_provider=lambda: AccessToken(KEY))


@pytest.mark.parametrize(
    "proxy",
    [
        "",
        "proxy.test",
        "proxy.test:8080",
        "http://proxy.test",
        "https://proxy.test:8080",
        "socks5://proxy.test:8080",
        "http://someone:hunter2@proxy.test:8080",
        "http://proxy.test:8080/path",
        "http://proxy.test:99999",
        "http://proxy.test:0",
        "http://:8080",
        "http://proxy.test:8080\n",
        8080,
    ],
)
@pytest.mark.parametrize("uri", [HTTPS, "http://127.0.0.1/score"])
# Proves B02, B21.
def test_proxies_that_make_no_sense(proxy: Any, uri: str) -> None:
    with pytest.raises(ValueError) as caught:
        ScoringClient(uri, proxy=proxy)
    assert str(caught.value) == "the proxy must be http://host:port"
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("key", "position"),
    [
        (f"{KEY}\n", 10),
        (f"{KEY}\r\nX-Injected: 1", 10),
        (f"{KEY} {KEY}", 10),
        (f" {KEY}", 0),
        (f"{KEY}\t", 10),
        (f"{KEY}\0", 10),
        (f"{KEY}\x7f", 10),
        (f"{KEY}é", 10),
        (f"{KEY}€", 10),
        (f"{KEY[:4]}\ud800{KEY}", 4),
    ],
)
# Proves B20.
# Proves B20.
def test_key_that_cannot_travel(key: str, position: int) -> None:
    with pytest.raises(ValueError) as caught:
        ScoringClient(HTTPS, key=key)
    assert str(caught.value) == (
        f"the key has a character that cannot be sent in a header at position {position} (a trailing newline?)"
    )
    assert caught.value.__context__ is None


# Proves B20.
def test_empty_key() -> None:
    with pytest.raises(ValueError, match=r"^the key is empty$"):
        ScoringClient(HTTPS, key="")


def test_key_of_a_wrong_type() -> None:
    with pytest.raises(TypeError, match=r"^the key must be a str, not bytes$"):
        ScoringClient(HTTPS, key=KEY.encode())  # type: ignore[arg-type]


# Proves B23.
@pytest.mark.parametrize(
    "host", ["service.test", "10.0.0.1", "0.0.0.0", "128.0.0.1", "localhost.example", "127.0.0.1.example", "[::2]"]
)
def test_key_over_plain_http(host: str) -> None:
    with pytest.raises(ValueError) as caught:
        ScoringClient(f"http://{host}/score", key=KEY)
    assert str(caught.value) == (
        "a key over plain http to a host that is not loopback: use https, "
        "or allow_insecure_http if the network is trusted"
    )
    ScoringClient(f"http://{host}/score").close()
    ScoringClient(f"http://{host}/score", key=KEY, allow_insecure_http=True).close()
    ScoringClient(f"https://{host}/score", key=KEY).close()


# Proves B23.
@pytest.mark.parametrize("host", ["localhost", "LocalHost", "127.0.0.1", "127.255.0.9", "[::1]"])
def test_key_over_plain_http_to_loopback(host: str) -> None:
    ScoringClient(f"http://{host}:4711/score", key=KEY).close()


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([[1.5], [1.5], [1.5, 2.5, 3.5, math.nan]], "row 2, column 3 is NaN: JSON has no such number"),
        ([[math.inf]], "row 0, column 0 is Infinity: JSON has no such number"),
        ([[1.5, -math.inf]], "row 0, column 1 is Infinity: JSON has no such number"),
        ([[10**400]], "row 0, column 0 is too large for a double"),
    ],
)
# Proves B11.
def test_rows_that_json_cannot_say(serve: Callable[..., RawServer], rows: list[list[float]], text: str) -> None:
    server = serve()
    with ScoringClient(server.uri) as client, pytest.raises(ValueError) as caught:
        client.score(rows)
    assert str(caught.value) == text
    assert server.connections == 0


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([[1.5, "2.5"]], "row 0, column 1 is of type str, not a number"),
        ([["nan"]], "row 0, column 0 is of type str, not a number"),
        ([[1.5], [None]], "row 1, column 0 is of type NoneType, not a number"),
        ([[[1.5]]], "row 0, column 0 is of type list, not a number"),
        ([1.5, 2.5], "row 0 is of type float, not a row of numbers"),
        ("12", "row 0, column 0 is of type str, not a number"),
        ({"data": [[1.5]]}, "row 0, column 0 is of type str, not a number"),
    ],
)
def test_rows_that_are_not_numbers(serve: Callable[..., RawServer], rows: Iterable[Any], text: str) -> None:
    server = serve()
    with ScoringClient(server.uri) as client, pytest.raises(TypeError) as caught:
        client.score(rows)
    assert str(caught.value) == text
    assert server.connections == 0
