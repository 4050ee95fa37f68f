"""The comparer of the differential check can fail: a reply that was changed in one place is reported."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "truth"))

from differential.compare import difference, read_volatile
from differential.corpus import Message, Reply, parse_message, read_corpus

VOLATILE = read_volatile()
MESSAGES: dict[str, Message] = {message.id: message for group in read_corpus().values() for message in group}


def recorded(name: str) -> Reply:
    reply = MESSAGES[name].reply
    assert reply is not None
    return reply


def compare(wanted: Reply, got: Reply) -> str | None:
    return difference(wanted, got, VOLATILE, ("genuine", "mock"))


SCORE = "rec1-post-score-with-ids"

PERTURBED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "status": (SCORE, lambda b: b.replace(b"200 OK", b"201 OK")),
    "case of the reason": (SCORE, lambda b: b.replace(b"200 OK", b"200 Ok")),
    "HTTP version": (SCORE, lambda b: b.replace(b"HTTP/1.1", b"HTTP/1.0")),
    "case of a header name": (SCORE, lambda b: b.replace(b"\r\nx-request-id", b"\r\nX-Request-Id")),
    "case of a volatile header's name": (SCORE, lambda b: b.replace(b"\r\nDate", b"\r\ndate")),
    "a header less": (SCORE, lambda b: b.replace(b"\r\nServer: gunicorn", b"")),
    "a header more": (SCORE, lambda b: b.replace(b"\r\nServer", b"\r\nX-A: b\r\nServer")),
    "a header twice": (SCORE, lambda b: b.replace(b"\r\nTraceId: tr-9", b"\r\nTraceId: tr-9\r\nTraceId: tr-9")),
    "order of two headers": (
        SCORE,
        lambda b: b.replace(
            b"\r\nx-ms-request-id: C-1\r\nx-ms-client-request-id: C-1",
            b"\r\nx-ms-client-request-id: C-1\r\nx-ms-request-id: C-1",
        ),
    ),
    "blank after the colon": (SCORE, lambda b: b.replace(b"Server: ", b"Server:")),
    "an id of the client": (SCORE, lambda b: b.replace(b"x-ms-request-id: C-1", b"x-ms-request-id: C-2")),
    "an id that is no random uuid": (SCORE, lambda b: b.replace(b"-4799-829c-", b"-1799-829c-")),
    "an id in upper case": (SCORE, lambda b: b.replace(b"a1a55d72794c", b"A1A55D72794C")),
    "two ids that were equal": ("rec1-get", lambda b: b.replace(b"x-ms-request-id: 4e2e", b"x-ms-request-id: 5e2e")),
    "decimals of the duration": (SCORE, lambda b: b.replace(b"exec-ms: 0.028", b"exec-ms: 0.0281")),
    "form of the date": (SCORE, lambda b: b.replace(b" GMT", b" UTC")),
    "a byte of the body": (SCORE, lambda b: b.replace(b"[55]", b"[56]")),
    "a byte after the body": (SCORE, lambda b: b + b"\n"),
    "a body cut short": (SCORE, lambda b: b[:-1]),
    "a line end of the head": (SCORE, lambda b: b.replace(b"\r\nServer", b"\nServer")),
    "no interim reply": ("rec1-post-score-expect-100", lambda b: b.partition(b"\r\n\r\n")[2]),
    "a header in the interim reply": (
        "rec1-post-score-expect-100",
        lambda b: b.replace(b"Continue\r\n", b"Continue\r\nX-A: b\r\n"),
    ),
    "a method in Allow": ("rec1-options", lambda b: b.replace(b"GET, OPTIONS, HEAD", b"GET, OPTIONS, POST")),
    "separator in Allow": ("rec1-options", lambda b: b.replace(b"GET, OPTIONS, HEAD", b"GET,OPTIONS,HEAD")),
    "chunk framing": ("rec2-raw-mode-gen", lambda b: b.replace(b"4\r\none\n\r\n4\r\ntwo\n", b"8\r\none\ntwo\n")),
    "nothing at all": (SCORE, lambda b: b""),
}  # fmt: skip


@pytest.mark.parametrize("change", PERTURBED)
def test_a_reply_changed_in_one_place_is_reported(change: str) -> None:
    name, perturb = PERTURBED[change]
    reply = recorded(name)
    changed = dataclasses.replace(reply, received=perturb(reply.received))
    assert changed != reply, "the perturbation must do something"
    found = compare(reply, changed)
    assert found is not None
    assert "--- genuine\n+++ mock\n" in found


def test_an_end_that_differs_is_reported() -> None:
    reply = recorded(SCORE)
    found = compare(reply, dataclasses.replace(reply, closed=False))
    assert found is not None
    assert "-<closed>\n+<open>" in found


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (SCORE, lambda b: b.replace(b"08:31:59", b"23:59:58")),
        (SCORE, lambda b: b.replace(b"exec-ms: 0.028", b"exec-ms: 12.345")),
        ("rec1-get", lambda b: b.replace(b"4e2e94df", b"5e2e94df")),
        ("rec1-options", lambda b: b.replace(b"GET, OPTIONS, HEAD", b"HEAD, GET, OPTIONS")),
    ],
)
def test_volatile_values_are_not_compared(name: str, change: Callable[[bytes], bytes]) -> None:
    reply = recorded(name)
    changed = dataclasses.replace(reply, received=change(reply.received))
    assert changed != reply
    assert compare(reply, changed) is None


def test_every_recorded_reply_equals_itself() -> None:
    replies = [message.reply for message in MESSAGES.values() if message.reply]
    assert len(replies) == len(MESSAGES)
    assert [reply for reply in replies if compare(reply, reply) is not None] == []


@pytest.mark.parametrize("changed", [b"x", b"xy"])
def test_a_reply_not_wholly_on_file_is_compared_by_length_and_digest(changed: bytes) -> None:
    cut = recorded("raw-echo-large")
    assert cut.missing
    assert cut.sha256
    assert compare(cut, dataclasses.replace(cut, received=cut.received + changed * cut.missing, missing=0)) is not None


def test_the_volatile_list_is_short() -> None:
    assert len(VOLATILE) <= 5


def test_the_corpus_covers_every_service() -> None:
    assert len(MESSAGES) >= 126 + 60
    assert {message.service for message in MESSAGES.values()} >= {
        "plain",
        "raw",
        "raw-form",
        "schema",
        "schema2",
        "ridge",
    }


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"id": "x", "service": "plain", "send": "", "sned": ""}, "unknown member 'sned'"),
        ({"id": "x", "service": "plain", "send": "", "then": "wait"}, "shutdown"),
        ({"id": "x", "service": "plain", "send": [{"repeat": "a"}]}, "cannot send"),
        ({"id": "x", "service": "plain", "send": "", "reply": {"received": "", "end": "gone"}}, "closed"),
    ],
)
def test_a_broken_line_is_refused(entry: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_message(entry)
