"""The comparator: every check held by the right answer and broken by each wrong one."""

from __future__ import annotations

import base64
import copy
import json

import pytest
from scoring_conformance import doubles
from scoring_conformance.cases import article
from scoring_conformance.cases.loader import load_cases
from scoring_conformance.engine.judge import judge
from scoring_conformance.engine.plan import Planned, plan
from scoring_conformance.engine.record import Outcome, Record
from scoring_conformance.engine.verdicts import Check

CASES = {case.id: case for case in load_cases()}


def planned(case_id: str) -> Planned:
    (one,) = plan([CASES[case_id]], ["c"], "seed")
    return one


def service(one: Planned) -> dict:
    path = f"/api/v1/service/{one.service['name']}/score"
    return {**one.service, "scoring_path": path}


def right_request(one: Planned) -> dict:
    headers = ["Host: 127.0.0.1", "Content-Type: application/json", "Content-Length: 9"]
    headers.append("x-ms-client-request-id: 6f9619ff-8b86-d011-b42d-00cf4fc964ff")
    if one.key is not None:
        headers.append(f"Authorization: Bearer {one.key}")
    return {
        "request_line": f"POST {service(one)['scoring_path']} HTTP/1.1",
        "header_lines": headers,
        "body": base64.b64encode(json.dumps({"data": one.rows}).encode()).decode(),
        "body_complete": True,
    }


def right_reply(one: Planned) -> dict:
    return {"id": "x", "ok": {"predictions": [doubles.to_bits(p) for p in article.predict(one.rows)]}}


def checks(one: Planned, reply: dict, requests: list[dict]) -> list[Check]:
    outcome = Outcome("", one.calls[""][0], one.case.script[0]["expect"], reply)
    return judge(one, service(one), Record(outcomes=[outcome], requests=requests))


def red(one: Planned, reply: dict, requests: list[dict]) -> set[str]:
    return {check.place for check in checks(one, reply, requests) if not check.held}


def service_error(**changes) -> dict:
    error = {"kind": "service", "text": "POST x: 401", "attempts": 1, "status": 401, "message": "", "body": ""}
    return {"id": "x", "error": {**error, "request_id": None, "client_request_id": None, **changes}}


def test_the_right_answer_holds_every_check():
    one = planned("auth/key/primary")
    found = checks(one, right_reply(one), [right_request(one)])
    assert len(found) >= 8
    assert all(check.held for check in found)


def with_body(request: dict, body: bytes) -> None:
    request["body"] = base64.b64encode(body).decode()


REQUEST_DEFECTS = [
    (lambda r: r.update(request_line=r["request_line"].replace("POST", "PUT")), "/requests/0/method"),
    (lambda r: r.update(request_line=r["request_line"].replace("/score", "/score/")), "/requests/0/path"),
    (lambda r: r.update(body_complete=False), "/requests/0/complete"),
    (lambda r: r["header_lines"].pop(), "/requests/0/headers/authorization/equals"),
    (lambda r: r["header_lines"].append(r["header_lines"][-1]), "/requests/0/headers/authorization/equals"),
    (lambda r: with_body(r, b'{"rows": [[1.0]]}'), "/requests/0/body/schema"),
    (lambda r: with_body(r, b'{"data": [["1.0"]]}'), "/requests/0/body/schema"),
    (lambda r: with_body(r, b'{"data": [[true]]}'), "/requests/0/body/schema"),
    (lambda r: with_body(r, b'{"data": [[NaN]]}'), "/requests/0/body/schema"),
    (lambda r: with_body(r, b'{"data": [], "data": []}'), "/requests/0/body/schema"),
    (lambda r: with_body(r, b"\xef\xbb\xbf" + base64.b64decode(r["body"])), "/requests/0/body/schema"),
    (lambda r: with_body(r, json.dumps(base64.b64decode(r["body"]).decode()).encode()), "/requests/0/body/schema"),
    (lambda r: with_body(r, b'{"data": [[1.0]]}'), "/requests/0/body/rows"),
]


@pytest.mark.parametrize(("defect", "place"), REQUEST_DEFECTS)
def test_a_wrong_request_breaks_its_check(defect, place):
    one = planned("auth/key/primary")
    request = copy.deepcopy(right_request(one))
    defect(request)
    assert place in red(one, right_reply(one), [request])


@pytest.mark.parametrize("value", ["Basic {}", "bearer {}", "Bearer  {}", "Bearer {} ", "{}", "Bearer {}x"])
def test_the_scheme_is_compared_letter_for_letter(value):
    one = planned("auth/key/primary")
    request = right_request(one)
    request["header_lines"][-1] = f"Authorization: {value.format(one.key)}"
    broken = red(one, right_reply(one), [request])
    # trailing white space is not part of a header's value (RFC 9110, 5.5)
    assert broken == (set() if value == "Bearer {} " else {"/requests/0/headers/authorization/equals"})


def test_the_number_of_requests_counts():
    one = planned("auth/key/primary")
    assert red(one, right_reply(one), []) == {"/requests/count"}
    assert red(one, right_reply(one), [right_request(one)] * 2) == {"/requests/count"}


def test_one_bit_of_a_prediction_counts():
    one = planned("predictions/rows/forty")
    reply = right_reply(one)
    bits = reply["ok"]["predictions"][17]
    reply["ok"]["predictions"][17] = f"{int(bits, 16) ^ 1:016x}"
    assert red(one, reply, [right_request(one)]) == {"/result/predictions"}


def test_the_order_of_predictions_counts():
    one = planned("predictions/rows/forty")
    reply = right_reply(one)
    reply["ok"]["predictions"].reverse()
    assert red(one, reply, [right_request(one)]) == {"/result/predictions"}


def test_the_sign_of_zero_in_the_payload_counts():
    one = planned("payload/doubles/signed-zero")
    reply = {"id": "x", "ok": {"predictions": [doubles.to_bits(p) for p in one.drawn]}}
    request = right_request(one)
    assert red(one, reply, [request]) == set()
    for written, broken in ((b"-0", set()), (b"0", {"/requests/0/body/rows"}), (b"-0e0", set())):
        with_body(request, json.dumps({"data": one.rows}).encode().replace(b"-0.0", written))
        assert red(one, reply, [request]) == broken


def test_a_failure_where_a_success_is_due_and_the_other_way_round():
    one = planned("auth/key/primary")
    assert red(one, service_error(), [right_request(one)]) == {"/result/ok"}
    one = planned("auth/key/unknown")
    assert red(one, right_reply(one), [right_request(one)]) == {"/error/kind"}


def test_the_kind_and_the_status_of_an_error_count():
    one = planned("auth/key/unknown")
    requests = [right_request(one)]
    assert red(one, service_error(), requests) == set()
    assert red(one, service_error(status=403), requests) == {"/error/status"}
    reply = {"id": "x", "error": {"kind": "reply", "text": "no", "attempts": 1}}
    assert red(one, reply, requests) == {"/error/kind", "/error/status"}


def test_the_message_of_an_error_counts():
    one = planned("errors/message/detail")
    good = service_error(status=400, message="Expects 10 columns", text="POST x: 400: Expects 10 columns (1 attempt)")
    assert red(one, good, [right_request(one)]) == set()
    lost = service_error(status=400, message="", text="POST x: 400")
    assert red(one, lost, [right_request(one)]) == {"/error/message/equals", "/error/text/includes"}


def test_a_request_where_none_is_due():
    one = planned("payload/not-finite/nan")
    reply = {"id": "x", "error": {"kind": "argument", "text": "row 1, column 1 is NaN"}}
    assert red(one, reply, []) == set()
    assert red(one, reply, [right_request(planned("auth/off"))]) == {"/requests/count"}


LEAKS = [
    lambda request, reply, key: request.update(
        request_line=request["request_line"].replace("/score", f"/score?k={key}")
    ),
    lambda request, reply, key: request["header_lines"].append(f"X-Key: {key}"),
    lambda request, reply, key: with_body(request, f'{{"data": [], "k": "{key}"}}'.encode()),
    lambda request, reply, key: reply["error"].update(text=f"401 for {key}"),
    lambda request, reply, key: reply["error"].update(message=f"{key} is wrong"),
]


@pytest.mark.parametrize("leak", LEAKS)
def test_a_credential_anywhere_else_breaks_the_secret_check(leak):
    one = planned("auth/key/unknown")
    request, reply = right_request(one), service_error()
    leak(request, reply, one.key)
    assert "/secret" in red(one, reply, [request])


@pytest.mark.parametrize(
    ("line", "held"),
    [
        (None, True),
        ("Accept-Encoding: identity", True),
        ("Accept-Encoding: gzip, deflate", False),
        ("Accept-Encoding:", False),
    ],
)
def test_forbid_unless(line, held):
    one = planned("payload/no-compression-asked")
    request = right_request(one)
    request["header_lines"] += [line] if line else []
    assert (red(one, right_reply(one), [request]) == set()) is held


def test_forbid_and_matches():
    one = planned("payload/framing")
    request = right_request(one)
    assert red(one, right_reply(one), [request]) == set()
    request["header_lines"] += ["Expect: 100-continue", "Transfer-Encoding: chunked"]
    request["header_lines"] = [line for line in request["header_lines"] if not line.startswith("Content-Length")]
    assert red(one, right_reply(one), [request]) == {
        "/requests/0/headers/content-length/matches",
        "/requests/0/headers/expect/forbid",
        "/requests/0/headers/transfer-encoding/forbid",
    }
