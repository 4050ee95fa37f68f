"""Request ids in the container (W10), at a managed endpoint (W11), and where they come from."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from scoring_mock.profiles.request_ids import new_uuid

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
IDS = ("x-request-id", "x-ms-request-id", "x-ms-client-request-id")


def ids(call: Any, *sent: str | None) -> list[str | None]:
    headers = [(name, text) for name, text in zip(IDS, sent, strict=True) if text is not None]
    got = {name.lower(): text for name, text in call(headers=headers).headers}
    return [got.get(name) for name in IDS]


def test_uuids_are_of_version_4_and_never_repeat() -> None:
    made = [new_uuid() for _ in range(2000)]
    assert all(map(UUID.fullmatch, made))
    assert len(set(made)) == len(made)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ((None, None, None), ("new", "new", None)),
        (("A", None, None), ("A", "A", None)),
        ((None, "B", None), ("new", "B", "B")),
        ((None, None, "C"), ("new", "C", "C")),
        ((None, "B", "C"), ("new", "B", "C")),
        (("A", "B", None), ("A", "B", "B")),
        (("A", "B", "C"), ("A", "B", "C")),
        (("", None, None), (None, None, None)),
        (("A" * 100, "B" * 100, "C" * 100), ("A" * 100, "B" * 100, "C" * 100)),
    ],
)
def test_algebra_in_the_container(container: Any, sent: tuple[str | None], expected: tuple[str | None]) -> None:
    got = ids(container, *sent)
    fresh = got[0] if expected[0] == "new" else None
    assert [fresh if text == "new" else text for text in expected] == got
    if fresh is not None:
        assert UUID.fullmatch(fresh)


@pytest.mark.parametrize(
    ("header", "message", "kept"),
    [
        ("x-request-id", b"x-request-id must not exceed 100 characters", False),
        ("x-ms-request-id", b"x-ms-request-id and x-ms-client-request-id must not exceed 100 characters", True),
        ("x-ms-client-request-id", b"x-ms-request-id and x-ms-client-request-id must not exceed 100 characters", True),
    ],
)
def test_too_long_ids(container: Any, header: str, message: bytes, kept: bool) -> None:
    reply = container(headers=[(header, "x" * 101)])
    assert (reply.status, reply.reason) == (431, "REQUEST HEADER FIELDS TOO LARGE")
    assert reply.body == b'{"message": "' + message + b'"}'
    sent_back = {name for name, _ in reply.headers} & set(IDS)
    assert sent_back == ({"x-request-id"} if kept else set())


def test_repeated_ids_are_joined(container: Any) -> None:
    reply = container(headers=[("x-request-id", "a"), ("x-request-id", "b")])
    assert dict(reply.headers)["x-request-id"] == "a,b"


@pytest.mark.parametrize(
    ("sent", "cleaned"),
    [("abc-DEF_09", "abc-DEF_09"), ("a.b c/d", "abcd"), ("x" * 60, "x" * 40), ("é!", None)],
)
def test_a_managed_endpoint_replaces_one_id_and_cleans_the_other(
    make: Callable[..., Any], sent: str, cleaned: str | None
) -> None:
    call = make(profile="managed-v2")
    request_id, _, client_id = ids(call, "mine", None, sent)
    assert request_id != "mine"
    assert UUID.fullmatch(request_id or "")
    assert client_id == cleaned


def test_the_router_of_v1_passes_ids_through(make: Callable[..., Any]) -> None:
    assert ids(make(profile="aks-v1"), "A", None, "C") == ["A", "C", "C"]


def test_a_legacy_server_knows_one_id(make: Callable[..., Any]) -> None:
    call = make(profile="container", server_generation="legacy")
    assert ids(call, "A", "B", "C") == [None, "B", None]
    assert UUID.fullmatch(ids(call, "A", None, "C")[1] or "")
