"""The container layer: what the genuine server was measured to answer, row by row."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest
from scoring_mock.http_types import Response
from scoring_mock.profiles.http_date import format_date

FAILED = {"message": "An unexpected error occurred in scoring script. Check the logs for more info."}
INTERNAL = {"message": "An unexpected internal error occurred. Check the logs for more info."}
NOT_FOUND = {
    "message": "The requested URL was not found on the server. If you entered the URL manually please check your "
    "spelling and try again."
}
NOT_ALLOWED = {"message": "The method is not allowed for the requested URL."}
GOOD = b'{"data":[[1,2,3,4,5,6,7,8,9,10]]}'


def names(reply: Response) -> list[str]:
    return [name for name, _ in reply.headers]


def value(reply: Response, name: str) -> str | None:
    return next((text for key, text in reply.headers if key.lower() == name.lower()), None)


def test_header_order_spelling_and_reason_of_a_good_reply(container: Any) -> None:
    reply = container(headers=[("x-ms-client-request-id", "c"), ("traceid", "t")])
    assert (reply.status, reply.reason, reply.close) == (200, "OK", True)  # W13
    assert names(reply) == [
        "Server",
        "Date",
        "Connection",
        "Content-Type",
        "Content-Length",
        "x-ms-run-function-failed",
        "x-ms-run-fn-exec-ms",
        "x-ms-server-version",
        "x-request-id",
        "x-ms-request-id",
        "x-ms-client-request-id",
        "TraceId",
    ]
    assert dict(reply.headers) | {"Date": "", "x-request-id": "", "x-ms-run-fn-exec-ms": ""} == {
        "Server": "gunicorn",
        "Date": "",
        "Connection": "close",
        "Content-Type": "application/json",
        "Content-Length": str(len(reply.body)),
        "x-ms-run-function-failed": "False",
        "x-ms-run-fn-exec-ms": "",
        "x-ms-server-version": "azmlinfsrv/1.5.1",
        "x-request-id": "",
        "x-ms-request-id": "c",
        "x-ms-client-request-id": "c",
        "TraceId": "t",
    }
    assert re.fullmatch(r"\d+\.\d{3}", value(reply, "x-ms-run-fn-exec-ms") or "")  # W12


@pytest.mark.parametrize(
    ("method", "path", "status", "reason", "body"),
    [
        ("GET", "/", 200, "OK", b"Healthy"),  # W01
        ("GET", "//", 200, "OK", b"Healthy"),
        ("HEAD", "/", 200, "OK", b""),
        ("OPTIONS", "/", 200, "OK", b""),
        ("POST", "/", 405, "METHOD NOT ALLOWED", NOT_ALLOWED),
        ("OPTIONS", "/score", 200, "OK", b""),  # W17
        ("HEAD", "/score", 405, "METHOD NOT ALLOWED", b""),
        ("PUT", "/score", 405, "METHOD NOT ALLOWED", NOT_ALLOWED),
        ("POST", "/swagger.json", 405, "METHOD NOT ALLOWED", NOT_ALLOWED),
        ("POST", "/score/", 404, "NOT FOUND", NOT_FOUND),  # W02
        ("POST", "/Score", 404, "NOT FOUND", NOT_FOUND),
        ("GET", "/nope", 404, "NOT FOUND", NOT_FOUND),
        ("GET", "/swagger2.json", 404, "NOT FOUND", NOT_FOUND),
    ],
)
def test_routes(container: Any, method: str, path: str, status: int, reason: str, body: object) -> None:
    reply = container(method, path)
    assert (reply.status, reply.reason) == (status, reason)
    assert reply.body == body if isinstance(body, bytes) else json.loads(reply.body) == body


@pytest.mark.parametrize("path", ["//score", "/%73core", "/score?ignored=1"])
def test_other_spellings_of_the_scoring_path(container: Any, path: str) -> None:
    assert container(path=path).status == 200


def test_health_has_no_run_function_header_and_options_ends_with_its_length(container: Any) -> None:
    assert "x-ms-run-function-failed" not in names(container("GET", "/"))
    options = container("OPTIONS", "/")
    assert value(options, "Allow") == "GET, OPTIONS, HEAD"
    assert options.headers[-1] == ("Content-Length", "0")


@pytest.mark.parametrize(("method", "path"), [("GET", "/nope"), ("PUT", "/score"), ("POST", "/")])
def test_router_errors_have_no_ids(container: Any, method: str, path: str) -> None:  # W14
    assert names(container(method, path, headers=[("x-request-id", "a")])) == [
        "Server",
        "Date",
        "Connection",
        "Content-Type",
        "Content-Length",
        "x-ms-run-function-failed",
    ]


def test_head_of_score_has_ids_and_the_length_of_its_text(container: Any) -> None:  # W14
    reply = container("HEAD", "/score")
    assert value(reply, "Content-Length") == "33"
    assert value(reply, "x-request-id")


BAD_INPUT = [
    (
        b'{"data": [[1,2',
        400,
        "POST body could not be decoded as JSON: Expecting ',' delimiter: line 1 column 15 (char 14)",
    ),
    (b"", 400, "POST body is empty. Expecting a JSON dictionary."),
    (b"[[1,2,3]]", 400, "POST body should be a JSON dictionary."),
    (b'"{\\"data\\":[[1]]}"', 400, "POST body should be a JSON dictionary."),
    (b'{"Data":[[1]]}', 400, "A value is not provided for the 'data' parameter."),
    (b'{"data":[[1,2]]}', 500, FAILED["message"]),
    (b'{"data":[1,2]}', 500, FAILED["message"]),
    (b'{"data":[[1,2],[1]]}', 500, FAILED["message"]),
    (b'{"data":null}', 500, FAILED["message"]),
    (b'{"data":[]}', 500, FAILED["message"]),
    (b'{"data":[["a",2,3,4,5,6,7,8,9,10]]}', 500, FAILED["message"]),
    (b'{"data":"\xff"}', 500, INTERNAL["message"]),
    (b"\x1f\x8b\x08\x00gzip", 500, INTERNAL["message"]),
    (b"[" * 100_000, 500, INTERNAL["message"]),
]


@pytest.mark.parametrize(("body", "status", "message"), BAD_INPUT)
def test_bad_input_for_a_schema(container: Any, body: bytes, status: int, message: str) -> None:  # W03 W05 W40
    reply = container(body=body)
    assert (reply.status, json.loads(reply.body)) == (status, {"message": message})
    assert value(reply, "x-ms-run-function-failed") == str(message == FAILED["message"])
    assert value(reply, "x-ms-run-fn-exec-ms") is None


@pytest.mark.parametrize(
    ("body", "score"),
    [
        (GOOD, b"[5215.198131579871]"),
        (b'{"data":[["1","2",3,4,5,6,7,8,9,10]]}', b"[5215.198131579871]"),
        (b'{"data":[[1,2,3,4,5,6,7,8,9,10]],"zzz":1}', b"[5215.198131579871]"),
        (b'{"data":[[0]],"data":[[1,2,3,4,5,6,7,8,9,10]]}', b"[5215.198131579871]"),
        (b"\xef\xbb\xbf" + GOOD, b"[5215.198131579871]"),  # W41
        (GOOD.decode().encode("utf-16"), b"[5215.198131579871]"),
        (b'{"data":[[NaN,2,3,4,5,6,7,8,9,10]]}', b"[NaN]"),  # W09
        (b'{"data":[[null,2,3,4,5,6,7,8,9,10]]}', b"[NaN]"),
        (b'{"data":[[1e400,2,3,4,5,6,7,8,9,10]]}', b"[Infinity]"),
    ],
)
def test_what_a_schema_accepts(container: Any, body: bytes, score: bytes) -> None:
    reply = container(body=body)
    assert (reply.status, reply.body) == (200, score)


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("application/x+json", 200),
        ("text/plain", 415),
        (None, 415),
        ("application/x-www-form-urlencoded", 415),  # W39
        ("application/octet-stream", 415),
        ("text/json", 415),
    ],
)
def test_media_types_for_a_schema(container: Any, content_type: str | None, status: int) -> None:
    reply = container(content_type=content_type)
    assert reply.status == status
    if status == 415:
        assert json.loads(reply.body) == {"message": "Expects Content-Type to be application/json"}
        assert reply.reason == "UNSUPPORTED MEDIA TYPE"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"data":', "application/json"),
        (b"", "application/json"),
        (GOOD, "application/x-www-form-urlencoded"),
        (b"\xef\xbb\xbf" + GOOD, "application/json"),
        (b'{"x":1}', "application/json"),
        (json.dumps(GOOD.decode()).encode(), "application/json"),
    ],
)
def test_without_a_schema_bad_input_is_a_failure_of_the_script(
    make: Callable[..., Any], body: bytes, content_type: str
) -> None:  # W04 W39 W41
    reply = make(profile="container", script="plain")(body=body, content_type=content_type)
    assert (reply.status, json.loads(reply.body)) == (500, FAILED)
    assert value(reply, "x-ms-run-function-failed") == "True"


def test_without_a_schema_bytes_that_are_not_utf8_are_bad_input(make: Callable[..., Any]) -> None:
    reply = make(profile="container", script="plain")(body=b'\xff\xfe{"data":1}')
    message = "Input cannot be decoded as UTF-8: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"
    assert (reply.status, json.loads(reply.body)) == (400, {"message": message})


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/json"])
def test_without_a_schema_the_media_type_does_not_matter(make: Callable[..., Any], content_type: str | None) -> None:
    assert make(profile="container", script="plain")(content_type=content_type).body == b"[55]"


@pytest.mark.parametrize(
    ("mode", "status", "body"),
    [
        ("raise", 500, FAILED),  # W06
        ("obj", 500, INTERNAL),  # W08
        ("set", 500, INTERNAL),
        ("bytes", 500, INTERNAL),
        ("dumps", 200, b'"{\\"result\\": [1, 2.5]}"'),  # W09
        ("none", 200, b"{}"),
        ("nan", 200, b'{"x": NaN, "y": Infinity}'),
        ("uni", 200, b'{"s": "\\u00e9\\u6f22\\ud83d\\ude00"}'),
        ("error", 200, b'{"error": "caught in run()"}'),  # W44
    ],
)
def test_results_of_scripts(make: Callable[..., Any], mode: str, status: int, body: object) -> None:
    reply = make(profile="container", script="plain")(body={"mode": mode})
    assert reply.status == status
    assert reply.body == body if isinstance(body, bytes) else json.loads(reply.body) == body
    if status == 500:
        assert value(reply, "x-ms-run-function-failed") == str(body == FAILED)
        assert b"secret" not in reply.body


def test_a_worker_that_exits_leaves_an_html_page_without_ids(make: Callable[..., Any]) -> None:  # W33
    reply = make(profile="container", script="plain")(body={"mode": "exit"})
    assert (reply.status, reply.reason, reply.close) == (500, "Internal Server Error", True)
    assert reply.headers == [("Connection", "close"), ("Content-Type", "text/html"), ("Content-Length", "141")]
    assert reply.body.startswith(b"<html>\n  <head>\n    <title>Internal Server Error</title>")
    assert len(reply.body) == 141


def test_a_slow_script_is_held_back_or_times_out(make: Callable[..., Any]) -> None:
    call = make(profile="container", script="plain", scoring_timeout_ms=700)
    slept = call(body={"mode": "sleep", "s": 0.25})
    assert (slept.body, slept.delay) == (b'"slept"', 0.25)
    late = call(body={"mode": "sleep", "s": 2})
    assert (late.status, late.delay) == (500, 0.7)
    assert json.loads(late.body) == {"message": "Scoring timeout after 700 ms"}
    assert value(late, "x-ms-run-function-failed") == "True"


@pytest.mark.parametrize(
    ("script", "query", "status", "body"),
    [
        ("model", "?data=[[1,2,3,4,5,6,7,8,9,10]]", 200, b"[5215.198131579871]"),
        ("plain", "?data=[[1,2],[3,4]]&a=1&a=x", 200, b"[3, 7]"),
        ("model", "", 400, b'{"message": "A value is not provided for the \'data\' parameter."}'),
        ("plain", "", 500, json.dumps(FAILED).encode()),
        ("model", "?data=abc", 500, json.dumps(FAILED).encode()),
    ],
)
def test_scoring_with_get(make: Callable[..., Any], script: str, query: str, status: int, body: bytes) -> None:  # W42
    reply = make(profile="container", script=script)("GET", f"/score{query}")
    assert (reply.status, reply.body) == (status, body)


def test_http_1_0_is_answered_in_kind(container: Any) -> None:
    assert container(version=(1, 0)).version == "HTTP/1.0"
    assert container().version == "HTTP/1.1"


def test_compression_is_neither_read_nor_written(container: Any) -> None:  # W40
    reply = container(headers=[("accept-encoding", "gzip"), ("accept", "text/xml")])
    assert (reply.status, value(reply, "Content-Encoding")) == (200, None)


def test_dates_are_written_as_http_wants_them() -> None:
    assert format_date(784111777) == "Sun, 06 Nov 1994 08:49:37 GMT"
    for seconds in range(0, 2**32, 86_400 * 29 + 12_345):
        assert format_date(seconds) == formatdate(seconds, usegmt=True)
