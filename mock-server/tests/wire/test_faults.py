"""Scripted replies and faults, seen from outside: bytes, and how the connection ends."""

from __future__ import annotations

import gzip
import time
import zlib
from typing import Any

import pytest

BODY = {"json": [1.5, 2.5]}
TEXT = b"[1.5, 2.5]"


def split(reply: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Take a reply apart: status line, header lines, the rest."""
    head, _, body = reply.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    return status, lines, body


def ask(mock: Any, reply: dict[str, Any]) -> tuple[bytes, list[bytes], bytes]:
    """Get one scripted reply over a connection that the client asks to be closed."""
    service = mock.scripted(reply)
    with service.connect() as raw:
        raw.send(service.request(extra=b"Connection: close\r\n"))
        data, end = raw.rest()
    assert end == "fin"
    return split(data)


# --- replies that are well ---------------------------------------------------------------------------------------


def test_status_reason_headers_and_body_go_out_as_written(mock: Any) -> None:
    reply = {
        "status": 418,
        "reason": "Ich bin ein Teekännchen",
        "headers": [["X-b", "1"], ["x-A", "  two"], ["X-b", "3"], ["content-TYPE", "application/x"]],
        "body": BODY,
    }
    status, lines, body = ask(mock, reply)
    assert status == "HTTP/1.1 418 Ich bin ein Teekännchen".encode("latin-1")
    assert lines == [b"X-b: 1", b"x-A:   two", b"X-b: 3", b"content-TYPE: application/x", b"Content-Length: 10"]
    assert body == TEXT


def test_content_type_and_length_are_added_unless_given(mock: Any) -> None:
    assert ask(mock, {"body": {"text": "é"}})[1:] == (
        [b"Content-Type: text/plain", b"Content-Length: 2"],
        "é".encode(),
    )
    assert ask(mock, {"body": {"base64": "/w=="}})[1:] == ([b"Content-Length: 1"], b"\xff")
    assert ask(mock, {})[1:] == ([b"Content-Length: 0"], b"")


@pytest.mark.parametrize("status", [204, 304])
def test_replies_without_body_have_no_length(mock: Any, status: int) -> None:
    line, lines, body = ask(mock, {"status": status})
    assert line.startswith(b"HTTP/1.1 %d " % status)
    assert (lines, body) == ([], b"")


def test_http_1_0(mock: Any) -> None:
    assert ask(mock, {"version": "HTTP/1.0", "body": BODY})[0] == b"HTTP/1.0 200 OK"


def test_redirect(mock: Any) -> None:
    status, lines, _ = ask(mock, {"status": 307, "headers": [["Location", "http://other.invalid:1/x?y"]]})
    assert status == b"HTTP/1.1 307 Temporary Redirect"
    assert b"Location: http://other.invalid:1/x?y" in lines


def test_gzip(mock: Any) -> None:
    _, lines, body = ask(mock, {"encode": "gzip", "body": BODY})
    assert b"Content-Encoding: gzip" in lines
    assert b"Content-Length: %d" % len(body) in lines
    assert gzip.decompress(body) == TEXT


@pytest.mark.parametrize(("coding", "bits"), [("deflate", 15), ("deflate-raw", -15)])
def test_deflate(mock: Any, coding: str, bits: int) -> None:
    _, lines, body = ask(mock, {"encode": coding, "body": BODY})
    assert b"Content-Encoding: deflate" in lines
    assert zlib.decompress(body, bits) == TEXT


def test_lying_content_encoding(mock: Any) -> None:
    _, lines, body = ask(mock, {"headers": [["Content-Encoding", "gzip"]], "body": BODY})
    assert b"Content-Encoding: gzip" in lines
    assert body == TEXT


def test_bom(mock: Any) -> None:
    assert ask(mock, {"body": {"text": "\ufeff[1]"}})[2] == b"\xef\xbb\xbf[1]"


def test_invalid_utf8(mock: Any) -> None:
    assert ask(mock, {"body": {"base64": "WyL/Il0="}})[2] == b'["\xff"]'


def test_huge_body(mock: Any) -> None:
    _, lines, body = ask(mock, {"body": {"text": "0123456789", "repeat": 2_000_000}})
    assert b"Content-Length: 20000000" in lines
    assert body == b"0123456789" * 2_000_000


def test_chunks_and_trailers(mock: Any) -> None:
    _, lines, body = ask(mock, {"chunked": 4, "trailers": [["X-Ms", "1"], ["x-ms", "2"]], "body": BODY})
    assert b"Transfer-Encoding: chunked" in lines
    assert not any(line.lower().startswith(b"content-length") for line in lines)
    assert body == b"4\r\n[1.5\r\n4\r\n, 2.\r\n2\r\n5]\r\n0\r\nX-Ms: 1\r\nx-ms: 2\r\n\r\n"


def test_interim_replies_go_first(mock: Any) -> None:
    service = mock.scripted(
        {"interim": [{"status": 102}, {"status": 103, "headers": [["Link", "</x>"]]}], "body": BODY, "close": True}
    )
    assert service.ask()[0].startswith(
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n"
    )


def test_expect_100_continue_is_answered_before_the_body(mock: Any) -> None:
    service = mock.scripted({"body": BODY, "close": True})
    head, _, body = service.request(extra=b"Expect: 100-continue\r\n").partition(b"\r\n\r\n")
    with service.connect() as raw:
        raw.send(head + b"\r\n\r\n")
        assert raw.receive() == b"HTTP/1.1 100 Continue\r\n\r\n"
        raw.send(body)
        data, end = raw.rest()
    assert split(data)[2] == TEXT
    assert end == "fin"


@pytest.mark.parametrize("framing", ["", "Content-Length: 0\r\n"])
def test_expect_100_continue_without_a_body(mock: Any, framing: str) -> None:
    service = mock.scripted({"body": BODY, "close": True})
    with service.connect() as raw:
        raw.send(f"POST {service.path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n{framing}\r\n".encode())
        data, _ = raw.rest()
    assert data.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


def test_delay_comes_before_the_first_byte(mock: Any) -> None:
    service = mock.scripted({"delay": 0.3, "body": BODY, "close": True})
    with service.connect() as raw:
        started = time.monotonic()
        raw.send(service.request())
        first = raw.receive()
        assert time.monotonic() - started >= 0.3
        assert (first + raw.rest()[0]).endswith(TEXT)


def test_drip_sends_the_head_at_once_and_the_body_in_pieces(mock: Any) -> None:
    service = mock.scripted({"drip": {"bytes": 2, "seconds": 0.05}, "body": BODY, "close": True})
    with service.connect() as raw:
        started = time.monotonic()
        raw.send(service.request())
        assert raw.until(b"\r\n\r\n").endswith(b"\r\n\r\n")
        pieces = []
        while piece := raw.receive():
            pieces.append(piece)
    assert b"".join(pieces) == TEXT
    assert len(pieces) > 1
    assert time.monotonic() - started >= 5 * 0.05


def test_drip_of_the_head(mock: Any) -> None:
    service = mock.scripted({"drip": {"bytes": 20, "seconds": 0.02, "headers": True}, "body": BODY, "close": True})
    with service.connect() as raw:
        raw.send(service.request())
        assert len(raw.receive()) < 60
        assert raw.rest()[0].endswith(TEXT)


def test_reply_before_the_body(mock: Any) -> None:
    service = mock.scripted({"status": 413, "before_body": True, "close": True})
    with service.connect() as raw:
        raw.send(service.request(b"x" * 100_000)[:-50_000])
        data, end = raw.rest()
    assert data.startswith(b"HTTP/1.1 413 ")
    assert end == "fin"
    entry = service.requests()[0]
    assert entry["answered"]["status"] == 413
    assert entry["body_complete"] is False


def test_reply_before_the_body_can_leave_the_connection_open(mock: Any) -> None:
    service = mock.scripted({"status": 401, "before_body": True}, {"body": BODY})
    request = service.request(b"x" * 1000)
    with service.connect() as raw:
        raw.send(request[:-500])
        assert raw.receive().startswith(b"HTTP/1.1 401 ")
        raw.send(request[-500:] + service.request())
        assert raw.until(TEXT).startswith(b"HTTP/1.1 200 ")
    first, second = service.requests()
    assert first["body_complete"]
    assert second["connection"] == first["connection"]


# --- faults ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["close", "reset"])
def test_end_before_any_byte(mock: Any, kind: str) -> None:
    service = mock.scripted({"fault": {"kind": kind}})
    assert service.ask() == (b"", "fin" if kind == "close" else "reset")
    assert service.requests()[0]["answered"] | {"at": 0} == {"status": None, "source": "fault", "at": 0}


@pytest.mark.parametrize("kind", ["close", "reset"])
def test_end_inside_the_head(mock: Any, kind: str) -> None:
    service = mock.scripted({"body": BODY, "fault": {"kind": kind, "headers": 20}})
    assert service.ask() == (b"HTTP/1.1 200 OK\r\nCon", "fin" if kind == "close" else "reset")


@pytest.mark.parametrize("kind", ["close", "reset"])
def test_end_inside_the_body(mock: Any, kind: str) -> None:
    service = mock.scripted({"body": BODY, "fault": {"kind": kind, "body": 4}})
    data, end = service.ask()
    _, lines, body = split(data)
    assert b"Content-Length: 10" in lines
    assert (body, end) == (b"[1.5", "fin" if kind == "close" else "reset")


def test_end_inside_a_chunk(mock: Any) -> None:
    service = mock.scripted({"body": BODY, "chunked": 6, "fault": {"kind": "close", "body": 8}})
    data, end = service.ask()
    assert split(data)[2] == b"6\r\n[1.5, \r\n4\r\n2."
    assert end == "fin"


@pytest.mark.parametrize(("place", "sent"), [({}, b""), ({"headers": 12}, b"HTTP/1.1 200"), ({"body": 0}, None)])
def test_silence(mock: Any, place: dict[str, int], sent: bytes | None) -> None:
    service = mock.scripted({"body": BODY, "fault": {"kind": "silence", **place}})
    with service.connect() as raw:
        raw.send(service.request())
        if sent is None:
            assert raw.until(b"\r\n\r\n").endswith(b"Content-Length: 10\r\n\r\n")
        elif sent:
            assert raw.until(sent) == sent
        assert raw.is_silent()


def test_the_connection_of_a_silent_service_ends_when_it_is_dropped(mock: Any) -> None:
    service = mock.scripted({"fault": {"kind": "silence"}})
    with service.connect() as raw:
        raw.send(service.request())
        assert raw.is_silent()
        mock.admin("/services/drop", {"names": [service.name]})
        assert raw.rest() == (b"", "fin")


@pytest.mark.parametrize("value", ["5", "20", "-1", "ten", ""])
def test_wrong_content_length(mock: Any, value: str) -> None:
    service = mock.scripted({"body": BODY, "fault": {"kind": "content-length", "value": value}})
    data, end = service.ask()
    _, lines, body = split(data)
    assert [line for line in lines if line.startswith(b"Content-Length")] == [f"Content-Length: {value}".encode()]
    assert (body, end) == (TEXT, "fin")


def test_duplicate_content_length(mock: Any) -> None:
    service = mock.scripted({"body": BODY, "close": True, "fault": {"kind": "duplicate-content-length", "value": "3"}})
    _, lines, body = split(service.ask()[0])
    assert [line for line in lines if line.startswith(b"Content-Length")] == [
        b"Content-Length: 10",
        b"Content-Length: 3",
    ]
    assert body == TEXT


def test_broken_chunk(mock: Any) -> None:
    service = mock.scripted({"body": BODY, "chunked": 5, "fault": {"kind": "broken-chunk"}})
    data, end = service.ask()
    assert split(data)[2].startswith(b"5\r\n[1.5,\r\nzz\r\n")
    assert end == "fin"


def test_trailing_bytes_follow_a_good_reply(mock: Any) -> None:
    service = mock.scripted({"body": BODY, "fault": {"kind": "trailing-bytes", "value": "XYZ"}})
    with service.connect() as raw:
        raw.send(service.request())
        assert raw.until(b"XYZ").endswith(TEXT + b"XYZ")
        assert raw.is_silent()


def test_garbage_status_line(mock: Any) -> None:
    service = mock.scripted({"body": BODY, "fault": {"kind": "status-line", "value": "SSH-2.0-x"}})
    data, end = service.ask()
    assert data.startswith(b"SSH-2.0-x\r\nContent-Type")
    assert end == "fin"
    assert service.requests()[0]["answered"]["status"] is None


def test_folded_header(mock: Any) -> None:
    service = mock.scripted({"body": BODY, "close": True, "fault": {"kind": "folded-header"}})
    assert b"\r\nX-Folded: first\r\n second\r\n\r\n" in service.ask()[0]


def test_huge_header(mock: Any) -> None:
    service = mock.scripted({"body": BODY, "close": True, "fault": {"kind": "huge-header", "size": 300_000}})
    _, lines, body = split(service.ask()[0])
    assert lines[-1] == b"X-Filler: " + b"x" * 300_000
    assert body == TEXT


def test_many_headers(mock: Any) -> None:
    service = mock.scripted({"body": BODY, "close": True, "fault": {"kind": "many-headers", "size": 5000}})
    _, lines, _ = split(service.ask()[0])
    assert len([line for line in lines if line.startswith(b"X-Filler-")]) == 5000


@pytest.mark.parametrize("kind", ["endless-headers", "endless-body"])
def test_endless_replies_end_when_the_client_leaves(mock: Any, kind: str) -> None:
    service = mock.scripted({"body": BODY, "fault": {"kind": kind}})
    with service.connect() as raw:
        raw.send(service.request())
        seen = 0
        while seen < 3_000_000:
            piece = raw.receive()
            assert piece
            seen += len(piece)
    mock.wait_for(lambda: service.requests()[0]["peer_closed"] is not None)


@pytest.mark.parametrize("kind", ["close", "reset"])
def test_kept_connection_that_ends_silently(mock: Any, kind: str) -> None:
    service = mock.scripted({"body": BODY, "fault": {"kind": f"{kind}-when-idle"}})
    data, end = service.ask()
    _, lines, body = split(data)
    assert not any(line.lower().startswith(b"connection") for line in lines)
    assert (body, end) == (TEXT, "fin" if kind == "close" else "reset")


def test_kept_connection_that_is_used_in_time_does_not_end(mock: Any) -> None:
    service = mock.scripted({"body": BODY, "fault": {"kind": "close-when-idle", "seconds": 3600}}, {"body": BODY})
    with service.connect() as raw:
        for _ in range(2):
            raw.send(service.request())
            raw.until(TEXT)


@pytest.mark.parametrize("kind", ["close", "reset"])
def test_connection_that_breaks_on_reuse(mock: Any, kind: str) -> None:
    service = mock.scripted({"body": BODY, "fault": {"kind": f"{kind}-on-reuse"}}, {"body": BODY})
    with service.connect() as raw:
        raw.send(service.request())
        raw.until(TEXT)
        assert raw.is_silent()
        raw.send(service.request())
        assert raw.rest() == (b"", "fin" if kind == "close" else "reset")
    assert split(service.ask_close())[2] == TEXT
    first, second, third = service.requests()
    assert second["connection"] == first["connection"]
    assert second["answered"]["source"] == "fault"
    assert second["body"] == first["body"]
    assert second["body_complete"]
    assert third["answered"]["status"] == 200


def test_raw_bytes(mock: Any) -> None:
    service = mock.scripted({"fault": {"kind": "raw", "base64": "AAEC/w=="}})
    assert service.ask() == (b"\x00\x01\x02\xff", "fin")


def test_a_good_reply_over_tls_ends_with_a_goodbye(mock: Any) -> None:
    service = mock.scripted({"body": BODY, "close": True})
    data, end = service.ask("https")
    assert data.endswith(TEXT)
    assert end == "fin"


@pytest.mark.parametrize("kind", ["close", "reset"])
def test_faults_work_over_tls(mock: Any, kind: str) -> None:
    service = mock.scripted({"body": BODY, "fault": {"kind": kind, "body": 4}})
    data, end = service.ask("https")
    assert data.endswith(b"\r\n\r\n[1.5")
    assert end == ("cut" if kind == "close" else "reset")


# --- the contract of the admin plane ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (1, "services[0].replies[0] must be an object"),
        ({"stats": 1}, "services[0].replies[0] has an unknown member 'stats'"),
        ({"status": 99}, "services[0].replies[0].status must be an integer from 100 to 999"),
        ({"status": True}, "services[0].replies[0].status must be an integer"),
        ({"headers": {}}, "services[0].replies[0].headers must be a list"),
        ({"headers": [["a b", "c"]]}, "services[0].replies[0].headers[0] has a name that HTTP does not allow"),
        ({"headers": [["a", "c\n"]]}, "services[0].replies[0].headers[0] must be a string without control"),
        ({"headers": [["a", "€"]]}, "services[0].replies[0].headers[0] must be latin-1"),
        ({"body": {"json": 1, "text": ""}}, "services[0].replies[0].body must have exactly one of"),
        ({"body": {"base64": "="}}, "services[0].replies[0].body.base64 must be base64"),
        ({"body": {"text": "ab", "repeat": 1073741824}}, "services[0].replies[0].body would be larger than"),
        ({"encode": "br"}, "services[0].replies[0].encode must be one of gzip"),
        ({"delay": -1}, "services[0].replies[0].delay must be a number of seconds"),
        ({"delay": 1e9}, "services[0].replies[0].delay must be a number of seconds"),
        ({"encode": []}, "services[0].replies[0].encode must be one of gzip"),
        ({"version": {}}, "services[0].replies[0].version must be HTTP/1.1 or HTTP/1.0"),
        ({"fault": {"kind": {}}}, "services[0].replies[0].fault.kind must be one of close"),
        ({"fault": {}}, "services[0].replies[0].fault.kind must be one of close"),
        ({"fault": {"kind": "close", "value": "x"}}, "services[0].replies[0].fault has an unknown member 'value'"),
        ({"fault": {"kind": "close", "headers": 1, "body": 1}}, "services[0].replies[0].fault must have only one"),
        ({"fault": {"kind": "raw"}}, "services[0].replies[0].fault.value is required"),
        ({"chunked": 5, "version": "HTTP/1.0"}, "services[0].replies[0]: a chunked reply has neither"),
    ],
)
def test_a_bad_reply_is_refused_with_one_sentence(mock: Any, reply: Any, sentence: str) -> None:
    status, answer = mock.ask_admin("/services", {"services": [{"replies": [reply]}]})
    assert status == 400
    assert answer["error"].startswith(sentence)
