"""Answers that are no success (B22, B46, B50, B54, B60-B63)."""

import gzip
import json
import pickle
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import scoring_client
from raw_server import Play, RawServer, close, message, raw, reply, reset, silence
from scoring_client import ReplyError, ScoringClient, ScoringError, ServiceError, TransportError

Serve = Callable[..., RawServer]


def refused(server: RawServer, **options: Any) -> ServiceError:
    with ScoringClient(server.uri, **{"max_retries": 0, **options}) as client, pytest.raises(ServiceError) as caught:
        client.score([[1.5], [2.5]])
    assert len(server.requests) == 1
    return caught.value


# Proves B46, B50.
@pytest.mark.parametrize(
    "status",
    [300, 304, 400, 401, 403, 404, 405, 408, 413, 415, 418, 424, 429, 431, 500, 501, 502, 503, 504, 599, 600, 999],
)
def test_every_other_status_is_a_service_error(serve: Serve, status: int) -> None:
    server = serve(reply([1.5, 2.5], status))
    error = refused(server)
    assert (error.status, error.attempts) == (status, 1)
    assert str(error) == f"POST {server.uri}: {status} (1 attempt)"


def test_switching_protocols_is_a_service_error_and_ends_the_connection(serve: Serve) -> None:
    upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"
    server = serve(raw(upgrade), reply([0.5]))
    with ScoringClient(server.uri, max_retries=0) as client:
        with pytest.raises(ServiceError, match="101"):
            client.score([[1.5]])
        assert client.score([[1.5]]) == [0.5]
    assert server.connections == 2


# Proves B22.
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(serve: Serve, status: int) -> None:
    elsewhere = serve()
    server = serve(reply(b"", status, ("Location", elsewhere.uri)))
    assert refused(server, key="Zk3vWq8RsT").status == status
    assert elsewhere.connections == 0


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"message": "no"}, "no"),
        ({"status_code": 400, "message": "no"}, "no"),
        ({"error": {"code": 400, "message": "no", "details": ""}}, "no"),
        ({"error": "no"}, "no"),
        ({"detail": "no"}, "no"),
        ({"message": "no", "error": {"message": "b"}, "detail": "c"}, "no"),
        ({"detail": "c", "error": {"message": "no"}}, "no"),
        ({"detail": "c", "error": "no"}, "no"),
        ({"message": " ", "error": "no"}, "no"),
        ({"message": {"a": [1]}, "detail": "no"}, "no"),
        ({"message": None, "error": {}, "detail": [1]}, ""),
        ("no", "no"),
        ("", ""),
        (None, ""),
        (42, ""),
        (True, ""),
        ([1.5, 2.5], ""),
        (b"", ""),
        (b" \r\n", ""),
        (b"no", "no"),
        (b" no\r\n", "no"),
        (b"\xef\xbb\xbfno", "no"),
        ('\ufeff{"message": "nö"}'.encode(), "nö"),
        (b'{"message": ', '{"message":'),
        (b"NaN is no answer", "NaN is no answer"),
        (b"\xff\xfe\xfd", "\ufffd\ufffd\ufffd"),
        (b'"\\ud800"', "?"),
        (b'{"message": "\\ud800x"}', "?x"),
        (b"<html><head><title>404 Not Found</title></head><body>nginx</body></html>", "404 Not Found"),
        (b"<!DOCTYPE html>\n<HTML><TITLE a=b>\n Bad &amp;\n gateway </TITLE>", "Bad & gateway"),
        (b"<html><body>no title</body></html>", ""),
        (b"<class 'ValueError'>: no", "<class 'ValueError'>: no"),
        (b"[" * 65536, "[" * 65536),
    ],
)
@pytest.mark.parametrize("media_type", ["application/json", "text/html; charset=utf-8"])
# Proves B62.
def test_message(serve: Serve, body: Any, text: str, media_type: str) -> None:
    server = serve(reply(body, 404, ("Content-Type", media_type)))
    error = refused(server)
    assert (error.status, error.message) == (404, text)
    assert error.body == (body if isinstance(body, bytes) else json.dumps(body).encode())


# Proves B63.
def test_message_in_the_text_is_one_short_line(serve: Serve) -> None:
    words = "no\r\n\x1b[31m\0\u2028" + "x" * 1000
    error = refused(serve(reply({"message": words}, 400)))
    assert error.message == words
    shown = str(error).split(": 400: ")[1].removesuffix(" (1 attempt)")
    assert shown.startswith("no   [31m  xxx")
    assert len(shown) == 300
    assert str(error).isprintable()


# Proves B63.
def test_text_with_everything(serve: Serve) -> None:
    server = serve(reply({"message": "Expects 10 columns"}, 400, ("X-Request-Id", "abc-1")))
    with ScoringClient(server.uri + "?code=secret", max_retries=0) as client, pytest.raises(ServiceError) as caught:
        client.score([[1.5]])
    assert str(caught.value) == f"POST {server.uri}: 400: Expects 10 columns (1 attempt, request id abc-1)"


@pytest.mark.parametrize(
    ("headers", "request_id"),
    [
        ([("x-request-id", "a"), ("x-ms-request-id", "b")], "a"),
        ([("X-Ms-Request-Id", "b")], "b"),
        ([("x-request-id", " "), ("x-ms-request-id", "b")], "b"),
        ([("x-request-id", "a"), ("x-request-id", "c")], "a"),
        ([], None),
    ],
)
# Proves B61.
def test_request_id(serve: Serve, headers: list[tuple[str, str]], request_id: str | None) -> None:
    server = serve(reply({"message": "no"}, 400, *headers))
    error = refused(server)
    assert error.request_id == request_id
    assert (f"request id {request_id}" in str(error)) == (request_id is not None)


# Proves B15, B61.
def test_client_request_id_is_the_one_that_was_sent(serve: Serve) -> None:
    server = serve(reply({}, 400, ("x-ms-client-request-id", "other")))
    error = refused(server)
    assert error.client_request_id == server.requests[0].header("x-ms-client-request-id")
    assert str(uuid.UUID(error.client_request_id)) == error.client_request_id


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [
        (
            [
                ("ms-azureml-model-error-statuscode", "500"),
                ("ms-azureml-model-error-reason", "model_error"),
            ],
            500,
            "model_error",
        ),
        ([("Ms-Azureml-Model-Error-Reason", "too_many_pending_request")], None, "too_many_pending_request"),
        ([("ms-azureml-model-error-statuscode", "")], None, None),
        ([("ms-azureml-model-error-statuscode", "5_0")], None, None),
        ([("ms-azureml-model-error-statuscode", "9" * 5000)], None, None),
        ([], None, None),
    ],
)
# Proves B61.
def test_model_status_and_reason(
    serve: Serve, headers: list[tuple[str, str]], status: int | None, reason: str | None
) -> None:
    error = refused(serve(reply({"message": "no"}, 424, *headers)))
    assert (error.model_status, error.model_reason) == (status, reason)


# Proves B61.
@pytest.mark.parametrize(
    ("value", "failed"), [("True", True), ("true", True), ("TRUE", True), ("False", False), ("1", False), (None, False)]
)
def test_run_function_failed(serve: Serve, value: str | None, failed: bool) -> None:
    headers = [] if value is None else [("X-Ms-Run-Function-Failed", value)]
    assert refused(serve(reply({}, 500, *headers))).run_function_failed is failed


# Proves B54.
def test_error_body_is_cut_never_refused(serve: Serve) -> None:
    server = serve(reply(b"x" * 100_000, 500), reply([1.5]))
    error = refused(server, max_reply_bytes=10)
    assert error.body == b"x" * 65536
    assert error.message == "x" * 65536


START = b"HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\n"
CHUNKED = b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "play",
    [
        close(START + b"partly"),
        reset(START + b"partly"),
        close(CHUNKED + b"6\r\npartly\r\n"),
        close(CHUNKED + b"8\r\npartly"),
        close(CHUNKED + b"6\r\npartly\r\nzz\r\n"),
        close(b"HTTP/1.1 503 Busy\r\n\r\npartly"),
    ],
)
# Proves B50.
def test_status_survives_a_broken_body(serve: Serve, play: Play) -> None:
    error = refused(serve(play))
    assert error.status == 503
    assert error.body in (b"partly", b"")  # a reset may overtake what was sent before it
    assert error.message == error.body.decode()


def test_error_body_is_kept_as_it_came(serve: Serve) -> None:
    body = gzip.compress(b"no")
    error = refused(serve(raw(message(body, 503, ("Content-Encoding", "gzip")))))
    assert (error.status, error.body) == (503, body)


# Proves B31, B50.
def test_status_survives_a_body_that_does_not_end(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = scoring_client._Response.begin

    def begin_and_hurry(self: scoring_client._Response) -> None:
        begin(self)
        scoring_client._current.whole = scoring_client._Limit(time.monotonic() + 0.15, 0.15)

    monkeypatch.setattr(scoring_client._Response, "begin", begin_and_hurry)
    error = refused(serve(silence(START + b"partly")))
    assert (error.status, error.body) == (503, b"partly")


# Proves B60.
def test_family() -> None:
    assert issubclass(ServiceError, ScoringError)
    assert issubclass(TransportError, ScoringError)
    assert issubclass(ReplyError, ScoringError)
    assert not issubclass(ScoringError, (ValueError, TypeError, OSError))


@pytest.mark.parametrize("play", [reply({"message": "no"}, 400, ("x-request-id", "a")), reply([]), close()])
def test_errors_cross_process_boundaries(serve: Serve, play: Play) -> None:
    with ScoringClient(serve(play).uri, max_retries=0) as client, pytest.raises(ScoringError) as caught:
        client.score([[1.5]])
    copy = pickle.loads(pickle.dumps(caught.value))
    assert type(copy) is type(caught.value)
    assert (str(copy), vars(copy)) == (str(caught.value), vars(caught.value))
