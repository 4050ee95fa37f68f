"""Compare two replies byte for byte, but for a short list of volatile header values."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from differential.corpus import INTERIM, Reply

VOLATILE = Path(__file__).with_name("volatile.json")
_SHOWN = 160


@dataclass(frozen=True)
class Volatile:
    """A header whose value is not compared where it has the given form; its name is compared, with its case.

    With `as_set` the value is a list separated by commas, and only its order is not compared.
    """

    header: bytes
    form: re.Pattern[bytes]
    as_set: bool


def read_volatile() -> list[Volatile]:
    """Read volatile.json."""
    entries = json.loads(VOLATILE.read_text(encoding="utf-8"))
    return [
        Volatile(entry["header"].encode(), re.compile(entry["form"].encode()), entry.get("as_set", False))
        for entry in entries
    ]


def difference(wanted: Reply, got: Reply, volatile: list[Volatile], names: tuple[str, str]) -> str | None:
    """Return a readable diff of two replies, or None when they are equal.

    A recorded reply may lack bytes at its end; then only what is there is compared, and the length.
    """
    lines = [_lines(wanted, volatile), _lines(got, volatile)]
    if wanted.missing:
        lines = [_cut(wanted, wanted, volatile), _cut(wanted, got, volatile)]
    if lines[0] == lines[1]:
        return None
    before = [_show(line, lines[1]) for line in lines[0]]
    after = [_show(line, lines[0]) for line in lines[1]]
    return "\n".join(difflib.unified_diff(before, after, *names, lineterm="", n=2))


def _cut(wanted: Reply, reply: Reply, volatile: list[Volatile]) -> list[bytes]:
    """Take off the end that is not on file on the one side; keep its length, and its digest if that is known."""
    whole = _lines(reply, volatile)
    known = len(_lines(wanted, volatile)[-2])
    body = whole[-2]
    kept = [body[:known], b"<%d bytes of body>" % (len(body) + reply.missing)]
    if wanted.sha256:
        digest = reply.sha256 if reply.missing else hashlib.sha256(body).hexdigest()
        kept.append(f"<sha256 {digest}>".encode())
    return [*whole[:-2], *kept, whole[-1]]


def _lines(reply: Reply, volatile: list[Volatile]) -> list[bytes]:
    """Split into status lines and headers (one line each, interim replies too), then the body, then how it ended.

    Volatile values become placeholders; equal values in one reply become equal placeholders.
    """
    lines: list[bytes] = []
    rest = reply.received
    seen: dict[bytes, bytes] = {}
    while True:
        head, blank, rest = rest.partition(b"\r\n\r\n")
        lines += [_placeholder(line, volatile, seen) for line in head.split(b"\r\n")]
        if not blank or not INTERIM.match(head):
            break
        lines.append(b"")
    return [*lines, b"<blank line>" if blank else b"<no blank line>", rest, b"<closed>" if reply.closed else b"<open>"]


def _placeholder(line: bytes, volatile: list[Volatile], seen: dict[bytes, bytes]) -> bytes:
    name, colon, value = line.partition(b": ")
    for entry in volatile:
        if not colon or name != entry.header or not entry.form.fullmatch(value):
            continue
        if entry.as_set:
            return name + colon + b", ".join(sorted(value.split(b", "))) + b" (in any order)"
        return name + colon + seen.setdefault(value, b"<%d>" % (len(seen) + 1))
    return line


def _show(line: bytes, other: list[bytes]) -> str:
    """Make a line printable; of a long one show the part around its first difference from the other side."""
    text = repr(line)[2:-1]
    if len(line) <= _SHOWN:
        return text
    near = difflib.get_close_matches(text[:2000], [repr(x)[2:-1][:2000] for x in other], 1, 0.1)
    start = next((i for i, (a, b) in enumerate(zip(text, near[0], strict=False)) if a != b), 0) if near else 0
    start = max(0, start - _SHOWN // 2)
    return f"[{len(line)} bytes] …{text[start : start + _SHOWN]}…"
