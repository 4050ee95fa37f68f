"""The requests of the differential check and what the genuine server answered, read from recordings/*.jsonl."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TRUTH = Path(__file__).resolve().parents[1]
RECORDINGS = TRUTH / "recordings"
SERVICES = Path(__file__).with_name("services.json")
NEWEST = "more"
INTERIM = re.compile(rb"HTTP/\d\.\d 1\d\d ")

# Longer replies are kept by their beginning, length and digest.
_ON_FILE = 8192

_MEMBERS = {"id", "service", "send", "then", "stays_open", "reply"}


class CorpusError(ValueError):
    """A line of a data file is wrong; the message says file, line and what is expected."""


@dataclass(frozen=True)
class Await:
    """A pause in sending, until `text` has arrived."""

    text: bytes


@dataclass(frozen=True)
class Reply:
    """All bytes that came back, and whether the server then closed.

    `missing` bytes at the end are not on file; `sha256` is then the digest of all bytes after the head, if known.
    """

    received: bytes
    closed: bool
    missing: int = 0
    sha256: str | None = None


@dataclass(frozen=True)
class Message:
    """One request as exact bytes, the service that it goes to, and the recorded reply if there is one."""

    id: str
    service: str
    send: tuple[bytes | Await, ...]
    shutdown: bool = False
    stays_open: bool = False
    reply: Reply | None = None


@dataclass(frozen=True)
class ServiceSettings:
    """How one service is started on both sides."""

    script: Path
    settings: dict[str, str]
    mock: dict[str, Any]


def read_services() -> dict[str, ServiceSettings]:
    """Read services.json."""
    services = json.loads(SERVICES.read_text(encoding="utf-8"))
    return {
        name: ServiceSettings(TRUTH / "scripts" / entry["script"], entry["settings"], entry["mock"])
        for name, entry in services.items()
    }


def read_corpus() -> dict[str, list[Message]]:
    """Read every recordings file, in order of its name. Raises CorpusError."""
    known = read_services()
    corpus: dict[str, list[Message]] = {}
    seen: set[str] = set()
    for path in sorted(RECORDINGS.glob("*.jsonl")):
        corpus[path.stem] = messages = []
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            where = f"{path.name}, line {number}"
            try:
                message = parse_message(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise CorpusError(f"{where}: {error!r}; truth/README.md lists the members") from error
            if message.id in seen:
                raise CorpusError(f"{where}: a second {message.id!r}")
            if message.service not in known:
                raise CorpusError(f"{where}: no service {message.service!r} in {SERVICES.name}")
            seen.add(message.id)
            messages.append(message)
    return corpus


def parse_message(entry: dict[str, Any]) -> Message:
    """Read one line of a recordings file."""
    if unknown := set(entry) - _MEMBERS:
        raise ValueError(f"unknown member {min(unknown)!r}")
    if entry.get("then", "shutdown") != "shutdown":
        raise ValueError("`then` can only be 'shutdown'")
    reply = entry.get("reply")
    return Message(
        id=entry["id"],
        service=entry["service"],
        send=tuple(_parts(entry["send"])),
        shutdown="then" in entry,
        stays_open=entry.get("stays_open", False),
        reply=parse_reply(reply) if reply is not None else None,
    )


def parse_reply(entry: dict[str, Any]) -> Reply:
    """Read the `reply` of a line."""
    if entry["end"] not in ("closed", "open"):
        raise ValueError("`end` must be 'closed' or 'open'")
    return Reply(
        entry["received"].encode("latin-1"), entry["end"] == "closed", entry.get("missing", 0), entry.get("sha256")
    )


def write_replies(name: str, replies: dict[str, Reply]) -> None:
    """Put replies, by id, into one recordings file."""
    path = RECORDINGS / f"{name}.jsonl"
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if reply := replies.get(entry["id"]):
            entry["reply"] = _reply_entry(reply)
        lines.append(json.dumps(entry) + "\n")
    path.write_text("".join(lines), encoding="utf-8")


def _reply_entry(reply: Reply) -> dict[str, Any]:
    received = reply.received.decode("latin-1")
    entry: dict[str, Any] = {"received": received[:_ON_FILE], "end": "closed" if reply.closed else "open"}
    if len(received) > _ON_FILE:
        digest = hashlib.sha256(body_of(reply.received)).hexdigest()
        entry |= {"missing": len(received) - _ON_FILE, "sha256": digest}
    return entry


def body_of(received: bytes) -> bytes:
    """Return everything after the head of the last reply, that is after interim replies too."""
    while True:
        head, _, rest = received.partition(b"\r\n\r\n")
        if not INTERIM.match(head):
            return rest
        received = rest


def _parts(send: Any) -> list[bytes | Await]:
    parts: list[bytes | Await] = []
    for part in send if isinstance(send, list) else [send]:
        match part:
            case str():
                parts.append(part.encode("latin-1"))
            case {"repeat": str(text), "times": int(times)} if len(part) == 2:
                parts.append(text.encode("latin-1") * times)
            case {"await": str(text)} if len(part) == 1:
                parts.append(Await(text.encode("latin-1")))
            case _:
                raise ValueError(f"cannot send {part!r}")
    return parts
