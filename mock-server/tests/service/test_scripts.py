"""The kinds of scoring script beside the model."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from scoring_mock.http_types import Response
from scoring_mock.scripts.catalogue import SCRIPTS, make_script
from scoring_mock.scripts.digits import graymap, read_digit
from scoring_mock.scripts.mlflow import FEATURES

ROW = list(range(1, 11))
SCORE = 5215.198131579871
FAILED = "An unexpected error occurred in scoring script. Check the logs for more info."


def value(reply: Response, name: str) -> str | None:
    return next((text for key, text in reply.headers if key.lower() == name.lower()), None)


def of(make: Callable[..., Any], script: str) -> Any:
    return make(profile="container", script=script)


@pytest.mark.parametrize("kind", SCRIPTS)
def test_every_kind_can_be_made_and_knows_its_name(kind: str) -> None:
    script = make_script(kind)
    assert script.kind == kind
    assert (script.schema is not None) == (script.takes == "schema") == bool(script.parameters)


def test_without_a_schema_the_model_scores_too(make: Callable[..., Any]) -> None:
    assert json.loads(of(make, "undecorated")().body) == [SCORE]


def test_dumps_is_encoded_twice(make: Callable[..., Any]) -> None:  # W09
    reply = of(make, "dumps")()
    once = json.loads(reply.body)
    assert isinstance(once, str)
    assert json.loads(once) == [SCORE]
    assert value(reply, "Content-Type") == "application/json"


@pytest.mark.parametrize("script", ["undecorated", "dumps"])
@pytest.mark.parametrize("body", [b"", b"{}", {"data": [[1]]}, {"data": 5}, [1], b"\xef\xbb\xbf{}"])
def test_without_a_schema_every_bad_input_is_500(make: Callable[..., Any], script: str, body: object) -> None:  # W04
    reply = of(make, script)(body=body)
    assert (reply.status, json.loads(reply.body)) == (500, {"message": FAILED})


def test_schema_sums_rows_as_numpy_does(make: Callable[..., Any]) -> None:
    row = [0.13, 0.85, 0.76, 0.26, 0.5, 0.45, 0.65, 0.79, 0.09, 0.03]
    # What numpy 2.4 gives for np.array([row]).sum(axis=1); from left to right it would be 4.510000000000001.
    assert of(make, "schema")(body={"data": [row]}).body == b"[4.51]"


@pytest.mark.parametrize(
    ("inputs", "results"),
    [
        ([{"age": 3, "job": "y"}], [6]),
        ([{"job": "y", "age": 3.7}], [6]),
        ([{"age": "3", "job": 1}], [6]),
        ([{"age": True, "job": "y"}], [2]),
        ([{"age": 3, "job": None}], [6]),
        ([{"age": 3, "job": "y"}, {"age": 4.5, "job": "z"}], [6, 8]),
        ({"age": [1, 2], "job": ["a", "b"]}, [2, 4]),
        ({"age": {"0": 1}, "job": {"0": "x"}}, [2]),
        ([{"age": 2**62, "job": "y"}], [-(2**63)]),
        ([{"age": 1e30, "job": "y"}], [0]),
        ([{"age": 3, "other": "y"}], [6]),
    ],
)
def test_a_frame_is_read_as_pandas_does(make: Callable[..., Any], inputs: object, results: list[int]) -> None:
    body = {"Inputs": inputs, "GlobalParameters": {"method": "predict"}}
    reply = of(make, "schema-frame")(body=body)
    assert json.loads(reply.body) == {"Results": results, "m": {"method": "predict"}}


@pytest.mark.parametrize(
    "inputs",
    [
        [{"age": "abc", "job": "y"}],
        [{"job": "y"}],
        [{"age": 3, "job": "y", "x": 1}],
        [{"age": None, "job": "y"}],
        [{"age": [1], "job": "y"}],
        [],
        [[3, "y"]],
        {"columns": ["age", "job"], "index": [0], "data": [[3, "y"]]},
        {"age": 1, "job": "a"},
        "x",
        None,
        [{"age": 10**30, "job": "y"}],
    ],
)
def test_bad_frames_are_failures_of_the_script(make: Callable[..., Any], inputs: object) -> None:
    reply = of(make, "schema-frame")(body={"Inputs": inputs, "GlobalParameters": {}})
    assert (reply.status, json.loads(reply.body)) == (500, {"message": FAILED})


def test_the_second_parameter_of_a_frame_is_wanted_too(make: Callable[..., Any]) -> None:
    reply = of(make, "schema-frame")(body={"Inputs": [{"age": 3, "job": "y"}]})
    assert json.loads(reply.body) == {"message": "A value is not provided for the 'GlobalParameters' parameter."}
    reply = of(make, "schema-frame")(body={"Inputs": [{"age": 3, "job": "y"}], "GlobalParameters": 1.0})
    assert (reply.status, json.loads(reply.body)) == (500, {"message": FAILED})


BINARY = bytes(range(256)) * 4


@pytest.mark.parametrize("content_type", ["application/octet-stream", None, "application/x-www-form-urlencoded"])
def test_raw_scripts_get_every_byte(make: Callable[..., Any], content_type: str | None) -> None:  # W20
    call = of(make, "raw")
    assert call(body=BINARY, content_type=content_type).body == b"1024 bytes, first=00010203"
    echo = call(path="/score?mode=echo", body=BINARY, content_type=content_type)
    assert (echo.body, value(echo, "Content-Type")) == (BINARY, "application/octet-stream")


@pytest.mark.parametrize(
    ("mode", "status", "reason", "headers", "body"),
    [
        (
            "418",
            418,
            "I'M A TEAPOT",
            [
                ("x-ms-run-function-failed", "False"),
                ("X-Custom", "a"),
                ("X-Custom", "b"),
                ("Content-Type", "text/x-tea"),
            ],
            b"short and stout",
        ),
        ("500", 500, "INTERNAL SERVER ERROR", [("x-ms-run-function-failed", "True")], b"model said no"),
        (
            "503",
            503,
            "SERVICE UNAVAILABLE",
            [("x-ms-run-function-failed", "True"), ("Retry-After", "7")],
            b'{"error": "later"}',
        ),
        ("json", 200, "OK", [("Content-Type", "application/json")], b'{"len": 3}'),
        ("none", 200, "OK", [("Content-Type", "application/json")], b"{}"),
    ],
)  # W20 W38
def test_raw_scripts_choose_status_and_headers(
    make: Callable[..., Any], mode: str, status: int, reason: str, headers: list[tuple[str, str]], body: bytes
) -> None:
    reply = of(make, "raw")(path=f"/score?mode={mode}", body=b"abc")
    assert (reply.status, reply.reason, reply.body) == (status, reason, body)
    assert [field for field in reply.headers if field in headers] == headers


def test_raw_scripts_answer_every_method(make: Callable[..., Any]) -> None:
    call = of(make, "raw")
    assert call("GET", "/score?param=abc").body == b"got /score?param=abc"
    head = call("HEAD")
    assert (head.status, head.body, value(head, "Content-Length")) == (500, b"", "15")
    options = call("OPTIONS")
    assert (options.status, options.reason, value(options, "Content-Length")) == (204, "NO CONTENT", None)
    origins = [text for name, text in options.headers if name == "Access-Control-Allow-Origin"]
    assert origins == ["https://a.example", "https://b.example"]


def test_a_stream_is_chunked_without_length(make: Callable[..., Any]) -> None:  # W21
    reply = of(make, "raw")(path="/score?mode=gen", body=b"abc")
    assert reply.chunks == [b"one\n", b"two\n", b"three\n"]
    assert reply.headers[3] == ("Transfer-Encoding", "chunked")
    assert value(reply, "Content-Type") == "text/event-stream; charset=utf-8"
    assert value(reply, "Content-Length") is None
    assert value(reply, "x-ms-run-function-failed") is None
    old = of(make, "raw")(path="/score?mode=gen", body=b"abc", version=(1, 0))
    assert (old.chunks, old.body, value(old, "Transfer-Encoding")) == (None, b"one\ntwo\nthree\n", None)


FORM = (
    b'--XX\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
    b'--XX\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    b"\x00\xff\r\n123\r\n--XX--\r\n"
)


def test_a_form_script_reads_a_file(make: Callable[..., Any]) -> None:
    reply = of(make, "raw-form")(body=FORM, content_type="multipart/form-data; boundary=XX")
    assert json.loads(reply.body) == {"name": "a.jpg", "n": 7}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (FORM, "application/octet-stream"),
        (FORM, "multipart/form-data"),
        (FORM.replace(b"image", b"other"), "multipart/form-data; boundary=XX"),
        (FORM.replace(b'; filename="a.jpg"', b""), "multipart/form-data; boundary=XX"),
        (b"\xff\xd8\xff", "image/jpeg"),
    ],
)
def test_a_form_script_fails_without_one(make: Callable[..., Any], body: bytes, content_type: str) -> None:
    reply = of(make, "raw-form")(body=body, content_type=content_type)
    assert (reply.status, json.loads(reply.body)) == (500, {"message": FAILED})


# One picture of each digit, of those that the model was not fitted on.
DIGITS = [
    "0000020e0d03000000000d0d090b000000001007000c000000031005000a0500000510010008050000031001000a050000001008050e03000000041010090100",
    "000000000b0e030000000002101002000000000b100e000000000310100f000000010d10100d0000000610090f0d0000000000000c10010000000000090e0100",
    "000007100e0300000000090e0b0f000000000105000f050000000000001005000000000003100400000000010c0e01000000050c10100e01000008100e0a0d03",
    "000009100a0100000000080310040000000000050e020000000002100f07000000000000030f020000040600000d070000060d010510030000000a100f050000",
    "0000000a090000000000050f0000090500000e0a000710040005100705100600000b1010100e00000003040b1008000000000007100200000000000c0c000000",
    "0000051010030000000009100700000000000c0f0200000000010f100f0400000000090d10090000000000000e0c00000000050c100800000000030f0f010000",
    "0000030b0000000000000c0b0000000000010e010000000000020f000000000000040f0f100f02000001100804080b000001100b070a0c000000050a0c0f0700",
    "0000020d1009000000000c0c0710030000010e0300100400000000040a1006000000000d10100900000000050d0100000000000b090000000000011004000000",
    "000000030c0a00000000010e060f000000000010060a00000000000e100200000000030e0f03000000011004090900000000040d04070800000000030a0b0f02",
    "000008100a02000000000c0d0e0b000000000a0d081002000000040f0f10080000000003080b0d00000000000005100400000102020710050000030e10100b01",
]


@pytest.mark.parametrize(("digit", "pixels"), list(enumerate(DIGITS)))
def test_a_small_model_reads_digits_from_bytes(make: Callable[..., Any], digit: int, pixels: str) -> None:
    picture = graymap(bytes.fromhex(pixels))
    reply = of(make, "digits")(body=picture, content_type="image/x-portable-graymap")
    answer = json.loads(reply.body)
    assert answer["digit"] == digit
    assert (digit, answer["scores"]) == read_digit(bytes.fromhex(pixels))
    assert max(answer["scores"]) == answer["scores"][digit]


def test_one_byte_changes_the_scores() -> None:
    pixels = bytearray.fromhex(DIGITS[3])
    before = read_digit(bytes(pixels))
    pixels[20] ^= 8
    assert read_digit(bytes(pixels)) != before


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xd8\xff\xe0",
        graymap(bytes(63)),
        graymap(bytes(65)),
        graymap(b"\x11" * 64),
        b"P2\n8 8\n16\n" + bytes(64),
    ],
)
def test_what_is_no_such_picture_gets_a_400_that_says_so(make: Callable[..., Any], body: bytes) -> None:
    reply = of(make, "digits")(body=body, content_type="application/octet-stream")
    assert reply.status == 400
    assert json.loads(reply.body)["message"].startswith("Expected a binary PGM of 8 x 8 pixels and maximum 16, got")


SPLIT = {"columns": list(FEATURES), "index": [0, 1], "data": [ROW, ROW]}


@pytest.mark.parametrize(
    ("input_data", "scores"),
    [
        ([ROW], [SCORE]),
        (SPLIT, [SCORE, SCORE]),
        ({**SPLIT, "columns": list(FEATURES)[::-1], "data": [ROW[::-1], ROW[::-1]]}, [SCORE, SCORE]),
        ({**SPLIT, "columns": list(range(10))}, [SCORE, SCORE]),
        ({name: [cell] for name, cell in zip(FEATURES, ROW, strict=True)}, [SCORE]),
        ({"input_data": [ROW]}, [SCORE]),
        (json.dumps([ROW]), [SCORE]),
    ],
)
def test_mlflow_takes_frames_lists_and_named_tensors(
    make: Callable[..., Any], input_data: object, scores: list[float]
) -> None:  # W43
    assert json.loads(of(make, "mlflow")(body={"input_data": input_data}).body) == scores
    with_params = {"input_data": input_data, "params": {"a": 1}}
    assert json.loads(of(make, "mlflow")(body=with_params).body) == scores


def test_mlflow_wants_input_data(make: Callable[..., Any]) -> None:  # W43
    message = {"message": "A value is not provided for the 'input_data' parameter."}
    reply = of(make, "mlflow")(body={"data": [ROW]})
    assert (reply.status, json.loads(reply.body)) == (400, message)
    managed = make(profile="managed-v2", script="mlflow")(body={"data": [ROW]})
    assert (managed.status, json.loads(managed.body)) == (424, message)


@pytest.mark.parametrize(
    "input_data",
    [
        None,
        5,
        [],
        ROW,
        [[1]],
        [[None, *ROW[1:]]],
        {},
        {"age": [1]},
        {**SPLIT, "index": [0]},
        {**SPLIT, "columns": ["age"]},
        {**SPLIT, "data": [ROW, [1]]},
        {name: [1] * (1 + (name == "bp")) for name in FEATURES},
    ],
)
def test_mlflow_fails_on_other_input(make: Callable[..., Any], input_data: object) -> None:
    reply = of(make, "mlflow")(body={"input_data": input_data})
    assert (reply.status, json.loads(reply.body)) == (500, {"message": FAILED})
