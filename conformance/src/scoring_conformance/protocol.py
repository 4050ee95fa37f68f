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
        "rows": rows_in_bits(rows),
    }
    if key is not None:
        message["key"] = key
    return _checked("score-request", message)


def rows_in_bits(rows: Sequence[Sequence[float]]) -> list[list[str]]:
    """Rows as the protocol writes them."""
    return [[doubles.to_bits(cell) for cell in row] for row in rows]


def open_request(message_id: str, client: str, scoring_uri: str, options: dict[str, Any]) -> dict[str, Any]:
    """Make a client that stays until ``close``."""
    message = {"id": message_id, "op": "open", "client": client, "scoring_uri": scoring_uri, "options": options}
    return _checked("open-request", message)


def call_request(message_id: str, client: str, op: str, members: dict[str, Any]) -> dict[str, Any]:
    """One call on an open client: ``score``, ``score_json``, ``score_bytes``, ``swagger`` or ``health``."""
    return _checked(_schema(op, "request"), {"id": message_id, "op": op, "client": client, **members})


def cancel_request(message_id: str, client: str, call: str) -> dict[str, Any]:
    """Cancel the call with this id."""
    return _checked("cancel-request", {"id": message_id, "op": "cancel", "client": client, "call": call})


def close_request(message_id: str, client: str) -> dict[str, Any]:
    """Release a client."""
    return _checked("close-request", {"id": message_id, "op": "close", "client": client})


def token_answer(message_id: str, answer: dict[str, Any]) -> dict[str, Any]:
    """The answer to the adapter's question with this id."""
    return _checked("token-answer", {"id": message_id, "answer": answer})


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


def read_score(message: dict[str, Any], level: int) -> dict[str, Any]:
    """The reply to a ``score`` of level 1: the message itself, once it matches the schema of the adapter's level.

    Raises:
        ProtocolViolation: it does not.
    """
    _expect("score-reply" if level == 1 else "client-score-reply", message)
    return message


def read_reply(op: str, message: dict[str, Any]) -> dict[str, Any]:
    """The reply to a request of level 2: the message itself, once it is known to match the schema of its kind.

    Raises:
        ProtocolViolation: it does not.
    """
    _expect(_schema(op, "reply"), message)
    return message


def is_event(message: dict[str, Any]) -> bool:
    """Whether a line of the adapter is a question or news, and not a reply."""
    return "ask" in message or "tell" in message


def read_event(message: dict[str, Any]) -> dict[str, Any]:
    """A question of the token provider (``ask``) or news of the hook (``tell``), once it matches its schema.

    Raises:
        ProtocolViolation: it does not.
    """
    _expect("token-question" if "ask" in message else "retry-news", message)
    return message


def _schema(op: str, direction: str) -> str:
    name = "client-score" if op == "score" else op.replace("_", "-")
    return f"{name}-{direction}"


def _expect(schema: str, message: dict[str, Any]) -> None:
    error = schemas.first_error(schema, message)
    if error is not None:
        raise ProtocolViolation(f"a message does not match {schema}.json: {schemas.explain(error)}")


def _checked(schema: str, message: dict[str, Any]) -> dict[str, Any]:
    error = schemas.first_error(schema, message)
    if error is not None:
        raise AssertionError(f"the suite broke its own protocol: {schemas.explain(error)}")
    return message


def _shown(line: bytes) -> str:
    text = line.decode("utf-8", "replace").rstrip("\n")
    return repr(text if len(text) <= 120 else text[:120] + "…")
