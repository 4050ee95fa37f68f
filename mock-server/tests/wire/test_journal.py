"""The journal: raw bytes, the life of connections, and its bounds."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest
from scoring_mock.wire.journal import Budget, ConnectionRecord, Entry, Journal, Journals

# --- through the server ------------------------------------------------------------------------------------------


def test_raw_lines_and_body_are_kept(mock: Any) -> None:
    service = mock.deploy()
    lines = ["hOST:   x", "X-Twice: 1", "x-twice: 2\t", "X-Latin: \xe9", "Content-Length: 3", "Connection: close"]
    with service.connect() as raw:
        raw.send(f"POST {service.path}?q=%2F HTTP/1.1\r\n".encode() + "\r\n".join(lines).encode("latin-1"))
        raw.send(b"\r\n\r\n\x00\xff\r")
        raw.rest()
    [entry] = service.requests()
    assert entry["request_line"] == f"POST {service.path}?q=%2F HTTP/1.1"
    assert entry["header_lines"] == lines
    assert base64.b64decode(entry["body"]) == b"\x00\xff\r"
    assert (entry["body_complete"], entry["framing"], entry["listener"]) == (True, "content-length", "http")
    assert entry["answered"]["status"] == 415
    assert entry["answered"]["source"] == "script"
    assert entry["answered"]["at"] >= entry["arrived"]


def test_a_chunked_body_is_kept_without_its_chunks(mock: Any) -> None:
    service = mock.deploy()
    with service.connect() as raw:
        raw.send(f"POST {service.path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode())
        for piece in (b"Transfer-Encoding: chunked\r\n\r\n", b"2;a=b\r\nab\r", b"\n3\r\ncde\r\n0\r\nX: y\r\n", b"\r\n"):
            raw.send(piece)
        raw.rest()
    [entry] = service.requests()
    assert base64.b64decode(entry["body"]) == b"abcde"
    assert (entry["body_complete"], entry["framing"]) == (True, "chunked")


@pytest.mark.parametrize(
    ("framing", "sent"), [("Content-Length: 10", b"abc"), ("Transfer-Encoding: chunked", b"3\r\nabc\r\n5\r\n")]
)
def test_a_body_that_breaks_off(mock: Any, framing: str, sent: bytes) -> None:
    service = mock.deploy()
    with service.connect() as raw:
        raw.send(f"POST {service.path} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode() + sent)
    mock.wait_for(lambda: bool(service.requests()) and service.requests()[0]["peer_closed"] is not None)
    [entry] = service.requests()
    assert base64.b64decode(entry["body"]) == b"abc"
    assert entry["body_complete"] is False
    assert entry["answered"] is None


def test_connections_and_their_order(mock: Any) -> None:
    service = mock.deploy()
    with service.connect() as first, service.connect() as second:
        for raw in (first, second, first):
            raw.send(service.request())
            raw.until(b"]")
        entries = service.requests()
    assert [entry["seq"] for entry in entries] == [0, 1, 2]
    assert entries[0]["connection"] == entries[2]["connection"] != entries[1]["connection"]
    assert entries[0]["arrived"] <= entries[1]["arrived"] <= entries[2]["arrived"]
    mock.wait_for(lambda: all(entry["peer_closed"] for entry in service.requests()))


def test_a_client_that_gives_up_is_seen(mock: Any) -> None:
    service = mock.scripted({"delay": 3600, "body": {"json": [1]}})
    with service.connect() as raw:
        raw.send(service.request())
        mock.wait_for(lambda: bool(service.requests()))
        assert service.requests()[0]["peer_closed"] is None
    mock.wait_for(lambda: service.requests()[0]["peer_closed"] is not None)
    assert service.requests()[0]["answered"] is None


def test_what_no_service_got_is_in_the_journal_of_nobody(mock: Any) -> None:
    service = mock.deploy()
    for request in (
        b"GET /nowhere-else HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"RUBBISH-1\r\nA: b\r\n\r\n",
    ):
        with service.connect() as raw:
            raw.send(request)
            raw.rest()
    entries = mock.admin("/journals", {"names": ["*"]})["journals"]["*"]["requests"]
    lines = {entry["request_line"]: entry for entry in entries}
    assert lines["GET /nowhere-else HTTP/1.1"]["answered"]["status"] == 404
    assert lines["RUBBISH-1"]["answered"]["status"] == 400
    assert lines["RUBBISH-1"]["header_lines"] == ["A: b"]
    assert service.requests() == []


def test_requests_over_tls_say_which_version(mock: Any) -> None:
    service = mock.deploy()
    with service.connect("https") as raw:
        raw.send(service.request())
        raw.until(b"]")
    [entry] = service.requests()
    assert (entry["listener"], entry["tls"]) == ("https", "TLSv1.2")


# --- its bounds ----------------------------------------------------------------------------------------------------


def record(journal: Journal, body: bytes = b"", number: int = 0) -> Entry:
    connection = ConnectionRecord(1, "http", 0.0)
    entry = journal.begin(connection, 0.0, b"POST /%d HTTP/1.1" % number, [b"Host: x"], "content-length")
    journal.set_body(entry, body, complete=True)
    return entry


def test_bounded_by_count_the_newest_stay() -> None:
    journal = Journal("x", Budget(), max_entries=3)
    for number in range(5):
        record(journal, b"ab", number)
    kept = journal.to_json()
    assert [entry["seq"] for entry in kept["requests"]] == [2, 3, 4]
    assert kept["dropped"] == {"requests": 2, "bytes": 4, "connections": 0}


def test_bounded_by_bytes() -> None:
    journal = Journal("x", Budget(), max_bytes=10_000)
    for number in range(5):
        record(journal, b"x" * 4000, number)
    kept = journal.to_json()
    assert [entry["seq"] for entry in kept["requests"]] == [3, 4]
    assert kept["dropped"] == {"requests": 3, "bytes": 12_000, "connections": 0}


def test_one_body_that_is_too_large_is_cut_and_says_so() -> None:
    journal = Journal("x", Budget(), max_bytes=10_000)
    record(journal, b"x" * 30_000)
    [entry] = journal.to_json()["requests"]
    assert len(base64.b64decode(entry["body"])) + entry["body_dropped"] == 30_000
    assert entry["body_complete"]
    assert journal.to_json()["dropped"]["bytes"] == entry["body_dropped"] > 0


def test_all_journals_share_a_budget_and_give_it_back() -> None:
    journals = Journals(max_total_bytes=20_000)
    first, second = journals.of("first"), journals.of("second")
    for number in range(3):
        record(first, b"x" * 5000, number)
    for number in range(3):
        record(second, b"x" * 5000, number)
    assert second.to_json()["dropped"]["requests"] > 0
    journals.drop("first")
    for number in range(2):
        record(second, b"x" * 5000, number)
    assert len(second.to_json()["requests"]) == 3


def test_connections_are_bounded() -> None:
    journal = Journal("x", Budget(), max_entries=2)
    for number in range(5):
        journal.add_connection(ConnectionRecord(number, "http", 0.0))
    kept = journal.to_json()
    assert [connection["connection"] for connection in kept["connections"]] == [3, 4]
    assert kept["dropped"]["connections"] == 3


def test_the_file_gets_every_request_once() -> None:
    file = io.StringIO()
    journals = Journals(max_entries=2, sink=file)
    journal = journals.of("x")
    for number in range(5):
        entry = record(journal, b"ab", number)
        if number == 1:
            journal.write(entry)
    journals.close()
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert sorted(line["seq"] for line in lines) == [0, 1, 2, 3, 4]
    assert {line["service"] for line in lines} == {"x"}
