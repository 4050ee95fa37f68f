"""The key goes into one header and nowhere else (B21, B22)."""

import copy
import json
import logging
import pickle
import re
import traceback
from collections.abc import Callable
from typing import Any

import pytest
import scoring_client
from raw_server import Play, RawServer, close, raw, reply
from scoring_client import ReplyError, ScoringClient, ScoringError, ServiceError, TransportError

Serve = Callable[..., RawServer]
KEY = "Zk3+vWq/8Rs\"T\\x.*[&<'%41=="
BEARER = f"Bearer {KEY}"


def everything_shown(error: BaseException) -> str:
    """What an error can print: its text, its repr, its traceback with all that it was raised from."""
    return "\n".join([str(error), repr(error), *traceback.format_exception(error), *getattr(error, "__notes__", [])])


def echoed(serve: Serve, play: Play, key: str = KEY) -> ScoringError:
    server = serve(play)
    with ScoringClient(server.uri, key=key, max_retries=0) as client, pytest.raises(ScoringError) as caught:
        client.score([[1.5]])
    [request] = server.requests
    assert request.raw.count(key.encode()) == 1
    assert request.header("Authorization") == f"Bearer {key}"
    assert key not in everything_shown(caught.value)
    return caught.value


# Proves B21.
def test_repr() -> None:
    client = ScoringClient("https://service.test:8443/score?code=secret", key=KEY)
    assert repr(client) == "ScoringClient('https://service.test:8443/score')"
    assert str(client) == repr(client)


@pytest.mark.parametrize(
    "body",
    [
        {"message": f"no such key: {KEY}"},
        {"error": {"message": f"no such key: {KEY}"}},
        f"no such key: {KEY}",
        f"no such key: {KEY}".encode(),
        f"<html><title>no such key: {KEY.replace('&', '&amp;')}</title>".encode(),
    ],
)
# Proves B21.
def test_message_that_echoes_the_key(serve: Serve, body: Any) -> None:
    error = echoed(serve, reply(body, 403))
    assert isinstance(error, ServiceError)
    assert error.message == "no such key: ***"
    assert ": 403: no such key: *** (1 attempt)" in str(error)


def test_key_across_the_end_of_the_excerpt(serve: Serve) -> None:
    error = echoed(serve, reply({"message": "x" * 290 + KEY}, 403))
    assert "x***" in str(error)
    assert KEY[:4] not in str(error)


# Proves B21.
@pytest.mark.parametrize("part", [KEY[:4], KEY[:9], KEY[:-1]])
def test_key_across_the_end_of_a_cut_body(serve: Serve, part: str) -> None:
    cut = f"HTTP/1.1 403 X\r\nContent-Length: 1000\r\n\r\nno such key: {part}"
    error = echoed(serve, close(cut.encode()))
    assert isinstance(error, ServiceError)
    assert error.message == "no such key: ***"
    assert str(error).endswith(": 403: no such key: *** (1 attempt)")


def test_key_across_the_end_of_the_largest_error_body(serve: Serve) -> None:
    error = echoed(serve, reply(b"x" * 65530 + KEY.encode() + b"y", 403))
    assert isinstance(error, ServiceError)
    assert error.message == "x" * 65530 + "***"


def test_key_across_the_end_of_the_largest_reply(serve: Serve) -> None:
    server = serve(reply(b"12345" + KEY.encode()))
    with ScoringClient(server.uri, key=KEY, max_reply_bytes=9) as client, pytest.raises(ReplyError) as caught:
        client.score([[1.5]])
    assert caught.value.excerpt == "12345***"


def test_three_characters_of_a_key_are_shown(serve: Serve) -> None:
    assert ": 403: no Zk3 (1 attempt)" in str(echoed(serve, reply(b"no Zk3", 403)))


# Proves B21.
def test_ids_and_reason_that_echo_the_key(serve: Serve) -> None:
    headers = [("x-request-id", BEARER), ("ms-azureml-model-error-reason", BEARER)]
    error = echoed(serve, reply({"message": "no"}, 424, *headers))
    assert isinstance(error, ServiceError)
    assert (error.request_id, error.model_reason) == ("Bearer ***", "Bearer ***")


@pytest.mark.parametrize(
    "body",
    [
        f"not JSON: {KEY}".encode(),
        json.dumps({"error": BEARER}).encode(),
        json.dumps([KEY]).encode(),
        json.dumps(BEARER).replace("+", "\\u002B").replace("/", "\\/").encode(),
        json.dumps({"x": BEARER}).replace("+", "\\u002b").replace("&", "\\u0026").encode(),
    ],
)
# Proves B21.
def test_excerpt_that_echoes_the_key(serve: Serve, body: bytes) -> None:
    error = echoed(serve, reply(body))
    assert isinstance(error, ReplyError)
    assert "***" in error.excerpt
    assert "***" in str(error)
    for shown in (str(error), error.reason, error.excerpt):
        assert "Zk3" not in shown
        assert "vWq" not in shown


def test_the_pattern_of_a_credential_is_made_once_in_a_call_and_only_for_an_error(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    spellings = scoring_client._spellings

    def counted(key: str) -> re.Pattern[str]:
        made.append(key)
        return spellings(key)

    monkeypatch.setattr(scoring_client, "_spellings", counted)
    server = serve(reply([0.5]), reply({"message": BEARER}, 503), reply({"message": BEARER}, 403))
    with ScoringClient(server.uri, key=KEY, base_delay=0.001) as client:
        client.score([[1.5]])
        assert made == []
        with pytest.raises(ServiceError):
            client.score([[1.5]])
    assert made == [KEY]


def test_content_encoding_that_echoes_the_key(serve: Serve) -> None:
    assert "Content-Encoding: ***" in str(echoed(serve, reply(b"", 200, ("Content-Encoding", KEY))))


@pytest.mark.parametrize(
    "data",
    [
        f"{BEARER}\r\n\r\n",
        f"HTTP/1.1 {BEARER}\r\n\r\n",
        f"HTTP/1.1 200 OK\r\n{BEARER}\r\n\r\n",
        f"HTTP/1.1 200 OK\r\nContent-Length: 1, 2{KEY}\r\n\r\n",
        f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{BEARER}\r\n",
    ],
)
# Proves B21.
def test_broken_replies_that_echo_the_key(
    serve: Serve, data: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        error = echoed(serve, close(data.encode("latin-1")))
    assert isinstance(error, (TransportError, ReplyError))
    assert KEY not in caplog.text
    assert KEY not in "".join(capfd.readouterr())


# Proves B21.
def test_nothing_is_logged_with_the_key(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    server = serve(reply([0.5]), reply({}, 401), raw(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"))
    with caplog.at_level(logging.DEBUG), ScoringClient(server.uri, key=KEY, max_retries=0) as client:
        client.score([[1.5]])
        for _ in range(2):
            with pytest.raises(ScoringError):
                client.score([[1.5]])
    assert caplog.records
    assert KEY not in caplog.text
    assert all(record.levelno < logging.WARNING for record in caplog.records)


# Proves B20, B21.
@pytest.mark.parametrize("key", ["\n", " ", "é", "\0"])
def test_a_key_that_cannot_travel_is_not_shown(key: str) -> None:
    with pytest.raises(ValueError) as caught:
        ScoringClient("https://service.test/score", key=KEY + key + KEY)
    assert "Zk3" not in everything_shown(caught.value).replace(repr(KEY), "")


def test_user_info_is_not_shown() -> None:
    with pytest.raises(ValueError) as caught:
        ScoringClient("https://someone:hunter2@service.test/score")
    assert "hunter2" not in str(caught.value)


# Proves B21.
def test_errors_do_not_hold_the_key(serve: Serve) -> None:
    """What error collectors take: the attributes."""
    for play in (reply({"message": BEARER}, 403), reply([]), close()):
        error = echoed(serve, play)
        attributes = {name: value for name, value in vars(error).items() if name != "body"}
        assert KEY not in repr(attributes)
        assert KEY.encode() not in pickle.dumps(copy.copy(error)).replace(getattr(error, "body", b"-"), b"")
