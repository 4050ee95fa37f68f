"""The one comparator: what the service saw, what the client reported, what the case wants."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from scoring_conformance import doubles, schemas
from scoring_conformance.cases import article
from scoring_conformance.engine.plan import Planned, fill
from scoring_conformance.engine.verdicts import Check


def judge(
    planned: Planned,
    service: Mapping[str, Any] | None,
    reply: Mapping[str, Any],
    requests: list[dict[str, Any]],
) -> list[Check]:
    """All checks of one case, held or not. Never empty.

    Args:
        planned: the case as it was asked.
        service: the admin plane's answer for the case's service.
        reply: the adapter's reply, known to match its schema.
        requests: the journal of the service.
    """
    values = {"call.key": planned.secrets.get("unknown key", "")}
    if service is not None:
        values |= {f"service.{name}": value for name, value in service.items() if isinstance(value, str)}
    expect = fill(planned.case.expect, values)
    checks = _requests(expect["requests"], requests, planned)
    if "result" in expect:
        checks += _result(expect["result"], reply, planned)
    else:
        checks += _error(expect["error"], reply)
    checks += _secrets(planned, reply, requests)
    return checks


def _requests(expected: list[dict[str, Any]], seen: list[dict[str, Any]], planned: Planned) -> list[Check]:
    checks = [Check("/requests/count", len(seen) == len(expected), len(expected), len(seen))]
    for index, (wanted, got) in enumerate(zip(expected, seen, strict=False)):
        place = f"/requests/{index}"
        method, _, rest = got["request_line"].partition(" ")
        target, _, version = rest.rpartition(" ")
        checks.append(Check(f"{place}/method", method == wanted["method"], wanted["method"], method))
        checks.append(Check(f"{place}/path", target == wanted["path"], wanted["path"], target))
        if "version" in wanted:
            checks.append(Check(f"{place}/version", version == wanted["version"], wanted["version"], version))
        checks.append(Check(f"{place}/complete", got["body_complete"] is True, True, got["body_complete"]))
        for name, matcher in wanted.get("headers", {}).items():
            checks.append(_header(f"{place}/headers/{name}", matcher, _values(got["header_lines"], name)))
        if "body" in wanted:
            checks += _body(f"{place}/body", wanted["body"], base64.b64decode(got["body"]), planned)
    return checks


def _values(lines: list[str], name: str) -> list[str]:
    """The values of a header, one a line; only the white space that HTTP ignores is taken off."""
    pairs = (line.partition(":") for line in lines)
    return [value.strip(" \t") for key, _, value in pairs if key.lower() == name]


def _header(place: str, matcher: Mapping[str, Any], found: list[str]) -> Check:
    (kind, wanted), *_ = matcher.items()
    actual: Any = found[0] if len(found) == 1 else found or None
    if kind == "equals":
        return Check(f"{place}/equals", found == [wanted], wanted, actual)
    if kind == "matches":
        return Check(
            f"{place}/matches",
            len(found) == 1 and re.search(wanted, found[0]) is not None,
            f"/{wanted}/",
            actual,
        )
    if kind == "require":
        return Check(f"{place}/require", len(found) == 1, "one such header", actual)
    if kind == "forbid-unless":
        return Check(f"{place}/forbid-unless", found in ([], [wanted]), f"no such header, or {wanted!r}", actual)
    return Check(f"{place}/forbid", not found, None, actual)


def _body(place: str, wanted: Mapping[str, Any], body: bytes, planned: Planned) -> list[Check]:
    checks = []
    if wanted.get("absent"):
        checks.append(Check(f"{place}/absent", body == b"", "no body", _shown(body)))
    document, problem = _parse(body)
    if "schema" in wanted:
        error = None if problem else schemas.first_error(wanted["schema"], document)
        said = problem or (schemas.explain(error) if error is not None else None)
        checks.append(Check(f"{place}/schema", said is None, wanted["schema"], said or "valid"))
    if wanted.get("rows") == "sent":
        expected = [[doubles.to_bits(cell) for cell in row] for row in planned.rows]
        actual = problem or _bits(document)
        checks.append(Check(f"{place}/rows", actual == expected, _in_words(expected), _in_words(actual)))
    if "json" in wanted:
        checks.append(
            Check(
                f"{place}/json",
                problem is None and document == wanted["json"],
                wanted["json"],
                problem or document,
            )
        )
    return checks


def _parse(body: bytes) -> tuple[Any, str | None]:
    """A request's body as strict JSON (RFC 8259): no NaN, no double keys, no byte order mark, UTF-8 only."""

    def refuse(word: str) -> Any:
        raise ValueError(f"{word} is not JSON")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) != len(pairs):
            raise ValueError("a key stands twice")
        return dict(pairs)

    try:
        # parse_int=float: -0 is a double too, and its sign would be lost as an integer
        return json.loads(body.decode("utf-8"), parse_int=float, parse_constant=refuse, object_pairs_hook=once), None
    except (ValueError, RecursionError) as error:
        return None, f"not JSON: {error}; the body begins {_shown(body)}"


def _bits(document: Any) -> Any:
    try:
        return [
            [doubles.to_bits(cell) if type(cell) is float else repr(cell) for cell in row] for row in document["data"]
        ]
    except (TypeError, KeyError):
        return "no rows under `data`"


def _result(wanted: Mapping[str, Any], reply: Mapping[str, Any], planned: Planned) -> list[Check]:
    predictions = wanted["predictions"]
    if predictions == "model":
        numbers = article.predict(planned.rows)
    elif predictions == "drawn":
        numbers = planned.drawn
    else:
        numbers = [float(cell) for cell in predictions]
    expected = [doubles.to_bits(number) for number in numbers]
    if "ok" not in reply:
        return [Check("/result/ok", False, "predictions", _outcome(reply))]
    actual = reply["ok"]["predictions"]
    return [
        Check("/result/ok", True),
        Check("/result/predictions", actual == expected, _in_words([expected]), _in_words([actual])),
    ]


def _error(wanted: Mapping[str, Any], reply: Mapping[str, Any]) -> list[Check]:
    if "error" not in reply:
        return [Check("/error/kind", False, wanted["kind"], _outcome(reply))]
    error = reply["error"]
    checks = [Check("/error/kind", error["kind"] == wanted["kind"], wanted["kind"], _outcome(reply))]
    for name in ("status", "attempts", "timed_out"):
        if name in wanted:
            checks.append(Check(f"/error/{name}", error.get(name) == wanted[name], wanted[name], error.get(name)))
    for name in ("message", "text", "request_id"):
        for kind, text in wanted.get(name, {}).items():
            actual = error.get(name) or ""
            held = {"equals": actual == text, "includes": text in actual, "excludes": text not in actual}[kind]
            checks.append(Check(f"/error/{name}/{kind}", held, text, actual))
    return checks


def _secrets(planned: Planned, reply: Mapping[str, Any], requests: list[dict[str, Any]]) -> list[Check]:
    """A planted credential may be in the Authorization header, and in the raw body of an error that echoed it."""
    if not planned.secrets:
        return [Check("/secret", True)]
    places: dict[str, str] = {}
    for index, request in enumerate(requests):
        lines = [line for line in request["header_lines"] if not line.lower().startswith("authorization:")]
        places[f"request {index}: request line or another header"] = "\n".join([request["request_line"], *lines])
        places[f"request {index}: body"] = base64.b64decode(request["body"]).decode("latin-1")
    error = reply.get("error", {})
    for name in ("text", "message"):
        places[f"the error's {name}"] = str(error.get(name, ""))
    leaks = [place for place, text in places.items() if any(secret in text for secret in planned.secrets.values())]
    return [
        Check(
            "/secret",
            not leaks,
            "the credential is in the Authorization header only",
            "; ".join(leaks) or None,
        )
    ]


def _outcome(reply: Mapping[str, Any]) -> str:
    if "ok" in reply:
        return f"predictions {_in_words([reply['ok']['predictions']])}"
    error = reply["error"]
    return f"{error['kind']} error: {error['text']}"


def _in_words(rows: Any) -> Any:
    """Bits with the numbers that they mean, cut to what a person reads."""
    if not isinstance(rows, list):
        return rows
    cells = [[_cell(cell) for cell in row[:12]] + (["…"] if len(row) > 12 else []) for row in rows[:4]]
    text = ", ".join("[" + ", ".join(row) + "]" for row in cells)
    return text + (f", … ({len(rows)} rows)" if len(rows) > 4 else "")


def _cell(bits: str) -> str:
    if not re.fullmatch("[0-9a-f]{16}", bits):
        return bits
    number = doubles.from_bits(bits)
    return repr(number) if math.isfinite(number) else f"{number} ({bits})"


def _shown(body: bytes) -> str:
    return repr(body[:80]) + ("…" if len(body) > 80 else "")
