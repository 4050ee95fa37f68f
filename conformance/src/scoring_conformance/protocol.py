"""The adapter protocol (``PROTOCOL.md``): messages out, messages in, both checked against their schemas."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scoring_conformance import doubles, schemas

VERSION = 1


class ProtocolViolation(Exception):
    """The adapter broke the protocol; the text says how."""


@dataclass(frozen=True, slots=True)
class Hello:
    """What an adapter says of itself."""

    level: int
    client: dict[str, str]
    capabilities: frozenset[str]
    max_in_flight: int


def hello_request(message_id: str) -> dict[str, Any]:
    """The first message of a run."""
    return _checked("hello-request", {"id": message_id, "op": "hello", "protocol": VERSION})


def score_request(
    message_id: str, scoring_uri: str, key: str | None, rows: Sequence[Sequence[float]]
) -> dict[str, Any]:
    """One call of ``score`` with a client of its own."""
    message: dict[str, Any] = {
        "id": message_id,
        "op": "score",
        "scoring_uri": scoring_uri,
        "rows": [[doubles.to_bits(cell) for cell in row] for row in rows],
    }
    if key is not None:
        message["key"] = key
    return _checked("score-request", message)


def encode(message: dict[str, Any]) -> bytes:
    """One line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """The object on one line, with a string ``id``.

    Raises:
        ProtocolViolation: the line is not that.
    """
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolViolation(f"a line on standard output is not JSON: {_shown(line)}") from error
    if not isinstance(message, dict) or not isinstance(message.get("id"), str):
        raise ProtocolViolation(f"a line on standard output is not an object with an id: {_shown(line)}")
    return message


def read_hello(message: dict[str, Any]) -> Hello:
    """The reply to ``hello``.

    Raises:
        ProtocolViolation: it does not match ``hello-reply.json``.
    """
    _expect("hello-reply", message)
    ok = message["ok"]
    return Hello(ok["level"], ok["client"], frozenset(ok["capabilities"]), ok["max_in_flight"])


def read_score(message: dict[str, Any]) -> dict[str, Any]:
    """The reply to ``score``: the message itself, once it is known to match ``score-reply.json``.

    Raises:
        ProtocolViolation: it does not.
    """
    _expect("score-reply", message)
    return message


def _expect(schema: str, message: dict[str, Any]) -> None:
    error = schemas.first_error(schema, message)
    if error is not None:
        raise ProtocolViolation(f"a reply does not match {schema}.json: {schemas.explain(error)}")


def _checked(schema: str, message: dict[str, Any]) -> dict[str, Any]:
    error = schemas.first_error(schema, message)
    if error is not None:
        raise AssertionError(f"the suite broke its own protocol: {schemas.explain(error)}")
    return message


def _shown(line: bytes) -> str:
    text = line.decode("utf-8", "replace").rstrip("\n")
    return repr(text if len(text) <= 120 else text[:120] + "…")
