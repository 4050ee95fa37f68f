"""The one comparator: what the service saw, what the client reported, what the case wants."""

from __future__ import annotations

import base64
import json
import math
import operator
import re
from collections.abc import Mapping
from typing import Any

from scoring_conformance import doubles, schemas
from scoring_conformance.cases import article
from scoring_conformance.cases.model import for_language
from scoring_conformance.engine.plan import Call, Planned, content, fill
from scoring_conformance.engine.record import Outcome, Record
from scoring_conformance.engine.verdicts import Check

_SLACK = 0.005  # seconds: how early a platform's timer may fire


def judge(planned: Planned, service: Mapping[str, Any] | None, record: Record) -> list[Check]:
    """All checks of one case, held or not. Never empty.

    Args:
        planned: the case as it was asked.
        service: the admin plane's answer for the case's service.
        record: what came of it.
    """
    values = {**planned.values, **record.values}
    if service is not None:
        values |= {f"service.{name}": value for name, value in service.items() if isinstance(value, str)}
    expect = fill(for_language(planned.case.expect, record.language), values)
    if isinstance(expect["requests"], dict):
        checks = _many_requests(expect["requests"], record.requests, planned)
    else:
        checks = _requests(expect["requests"], record, planned)
    for outcome in record.outcomes:
        wanted = fill(outcome.expect, values)
        if "result" in wanted:
            checks += _result(outcome, wanted["result"])
        else:
            checks += _error(outcome, wanted["error"], record.requests)
    checks += _reached(planned, record)
    checks += record.checks
    checks += _whole(expect, planned, record)
    checks += _secrets(planned, record)
    return checks


def _reached(planned: Planned, record: Record) -> list[Check]:
    """A call that was never made is no pass."""
    made = {outcome.place.partition("/calls/")[0] for outcome in record.outcomes}
    return [
        Check(f"{place}/reached", False, "the call is made", "never") for place in planned.calls if place not in made
    ]


def _whole(expect: Mapping[str, Any], planned: Planned, record: Record) -> list[Check]:
    checks = []
    if "connections" in expect:
        seen = {r["connection"] for r in record.requests} | {c["connection"] for c in record.connections}
        checks += _bounds("/connections", expect["connections"], len(seen))
    answers = planned.case.options.get("token_provider")
    if answers is not None or "asks" in expect:
        wanted = expect.get("asks", {"at_most": len(answers or ())})
        checks += _bounds("/asks", wanted, record.asks)
    if "retries" in expect:
        checks += _retries(expect["retries"], record.retries)
    return checks


def _retries(expected: list[dict[str, Any]], told: list[dict[str, Any]]) -> list[Check]:
    checks = [Check("/retries/count", len(told) == len(expected), len(expected), len(told))]
    for index, (wanted, got) in enumerate(zip(expected, told, strict=False)):
        place = f"/retries/{index}"
        if "attempt" in wanted:
            checks.append(
                Check(f"{place}/attempt", got["attempt"] == wanted["attempt"], wanted["attempt"], got["attempt"])
            )
        if "wait" in wanted:
            checks += _bounds(f"{place}/wait", wanted["wait"], got["wait"])
        checks += _text(f"{place}/reason", wanted.get("reason", {}), got["reason"])
    return checks


def _bounds(place: str, wanted: Any, actual: Any) -> list[Check]:
    """A number, ``null``, or ``at_least``, ``at_most``, ``equals``."""
    if not isinstance(wanted, Mapping):
        return [Check(place, actual == wanted, wanted, actual)]
    checks = []
    for kind, limit in wanted.items():
        compare = {"at_least": operator.ge, "at_most": operator.le, "equals": operator.eq}[kind]
        held = actual is not None and compare(actual, limit)
        checks.append(Check(f"{place}/{kind}", held, limit, actual))
    return checks


def _text(place: str, wanted: Mapping[str, str], actual: str) -> list[Check]:
    checks = []
    for kind, text in wanted.items():
        held = {"equals": actual == text, "includes": text in actual, "excludes": text not in actual}[kind]
        checks.append(Check(f"{place}/{kind}", held, text, actual))
    return checks


def _requests(expected: list[dict[str, Any]], record: Record, planned: Planned) -> list[Check]:
    seen = record.requests
    checks = [Check("/requests/count", len(seen) == len(expected), len(expected), len(seen))]
    for index, (wanted, got) in enumerate(zip(expected, seen, strict=False)):
        place = f"/requests/{index}"
        checks += _request(place, wanted, got)
        if "body" in wanted:
            payloads = planned.payloads
            call = payloads[wanted.get("of", 1) - 1] if payloads else None
            checks += _body(f"{place}/body", wanted["body"], base64.b64decode(got["body"]), call)
        if "after" in wanted:
            checks.append(_after(f"{place}/after/at_least", wanted["after"]["at_least"], index, record))
        if index:
            checks += _compared(place, wanted, got, seen[index - 1])
    return checks


def _request(place: str, wanted: Mapping[str, Any], got: Mapping[str, Any]) -> list[Check]:
    method, _, rest = got["request_line"].partition(" ")
    target, _, version = rest.rpartition(" ")
    checks = [
        Check(f"{place}/method", method == wanted["method"], wanted["method"], method),
        Check(f"{place}/path", target == wanted["path"], wanted["path"], target),
    ]
    if "version" in wanted:
        checks.append(Check(f"{place}/version", version == wanted["version"], wanted["version"], version))
    complete = wanted.get("complete", True)
    checks.append(Check(f"{place}/complete", got["body_complete"] is complete, complete, got["body_complete"]))
    for name, matcher in wanted.get("headers", {}).items():
        checks.append(_header(f"{place}/headers/{name}", matcher, _values(got["header_lines"], name)))
    return checks


def _many_requests(wanted: Mapping[str, Any], seen: list[dict[str, Any]], planned: Planned) -> list[Check]:
    """Requests of calls at the same moment: their number, and what holds for each; bodies as a set."""
    each = wanted["each"]
    checks = _bounds("/requests/count", wanted["count"], len(seen))
    for index, got in enumerate(seen):
        checks += _request(f"/requests/{index}", each, got)
        body = {k: v for k, v in each.get("body", {}).items() if v != "sent"}
        if body:
            checks += _body(f"/requests/{index}/body", body, base64.b64decode(got["body"]), None)
    if each.get("body", {}).get("rows") == "sent":
        expected = {json.dumps(_sent_bits(call)) for call in planned.payloads}
        actual = {json.dumps(_bits(_parse(base64.b64decode(got["body"]))[0])) for got in seen}
        place = "/requests/each/body/rows"
        checks.append(
            Check(place, actual == expected, f"the rows of {len(expected)} calls", f"{len(actual & expected)} of them")
        )
    return checks


def _after(place: str, wanted: Any, index: int, record: Record) -> Check:
    """A lower bound only: a busy machine makes every gap longer."""
    if wanted == "told":
        wanted = next((told["wait"] for told in record.retries if told["attempt"] == index), math.inf)
    gap = record.requests[index]["arrived"] - record.requests[index - 1]["arrived"] if index else 0.0
    return Check(place, gap >= wanted - _SLACK, wanted, round(gap, 4))


def _compared(place: str, wanted: Mapping[str, Any], got: Mapping[str, Any], before: Mapping[str, Any]) -> list[Check]:
    def part(request: Mapping[str, Any], name: str) -> Any:
        return request["body"] if name == "body" else _values(request["header_lines"], name)

    checks = []
    for name in wanted.get("same_as_previous", ()):
        same = part(got, name) == part(before, name)
        checks.append(Check(f"{place}/same_as_previous/{name}", same, part(before, name), part(got, name)))
    for name in wanted.get("differs_from_previous", ()):
        other = part(got, name) != part(before, name)
        checks.append(Check(f"{place}/differs_from_previous/{name}", other, "another value", part(got, name)))
    if "connection" in wanted:
        found = "same" if got["connection"] == before["connection"] else "new"
        checks.append(Check(f"{place}/connection", found == wanted["connection"], wanted["connection"], found))
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


def _body(place: str, wanted: Mapping[str, Any], body: bytes, call: Call | None) -> list[Check]:
    checks = []
    if wanted.get("absent"):
        checks.append(Check(f"{place}/absent", body == b"", "no body", _shown(body)))
    document, problem = _parse(body)
    if "schema" in wanted:
        error = None if problem else schemas.first_error(wanted["schema"], document)
        said = problem or (schemas.explain(error) if error is not None else None)
        checks.append(Check(f"{place}/schema", said is None, wanted["schema"], said or "valid"))
    if wanted.get("rows") == "sent" and call is not None:
        expected = _sent_bits(call)
        actual = problem or _bits(document)
        checks.append(Check(f"{place}/rows", actual == expected, _in_words(expected), _in_words(actual)))
    if "json" in wanted:
        text = call.body.decode() if wanted["json"] == "sent" and call is not None else wanted["json"]
        checks.append(_json(f"{place}/json", text, body.decode("utf-8", "replace")))
    if "bytes" in wanted:
        checks.append(_bytes(f"{place}/bytes", wanted["bytes"], body, call))
    return checks


def _json(place: str, wanted: Any, text: str) -> Check:
    """JSON compared as values; a wanted text is JSON itself. Integers are compared exactly, `1` equals `1.0`."""
    expected, _ = _parse(wanted.encode(), exact=True) if isinstance(wanted, str) else (wanted, None)
    actual, problem = _parse(text.encode(), exact=True)
    return Check(place, problem is None and _same(expected, actual), expected, problem or actual)


def _same(left: Any, right: Any) -> bool:
    """Equality of JSON values: for Python `true` equals 1, in JSON it does not."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right)


def _bytes(place: str, wanted: Any, actual: bytes, call: Call | None) -> Check:
    expected = call.body if wanted == "sent" and call is not None else content(wanted)
    return Check(place, actual == expected, _shown(expected), _shown(actual))


def _sent_bits(call: Call) -> list[list[str]]:
    return [[doubles.to_bits(cell) for cell in row] for row in call.rows]


def _parse(body: bytes, *, exact: bool = False) -> tuple[Any, str | None]:
    """A body as strict JSON (RFC 8259): no NaN, no double keys, no byte order mark, UTF-8 only.

    Args:
        body: the bytes.
        exact: keep integers as they are, in place of doubles.
    """

    def refuse(word: str) -> Any:
        raise ValueError(f"{word} is not JSON")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) != len(pairs):
            raise ValueError("a key stands twice")
        return dict(pairs)

    try:
        # parse_int=float: -0 is a double too, and its sign would be lost as an integer
        number = int if exact else float
        return json.loads(body.decode("utf-8"), parse_int=number, parse_constant=refuse, object_pairs_hook=once), None
    except (ValueError, RecursionError) as error:
        return None, f"not JSON: {error}; the body begins {_shown(body)}"


def _bits(document: Any) -> Any:
    try:
        return [
            [doubles.to_bits(cell) if type(cell) is float else repr(cell) for cell in row] for row in document["data"]
        ]
    except (TypeError, KeyError):
        return "no rows under `data`"


def _result(outcome: Outcome, wanted: Mapping[str, Any]) -> list[Check]:
    place, call, reply = f"{outcome.place}/result", outcome.call, outcome.reply
    if "ok" not in reply:
        return [Check(f"{place}/ok", False, "predictions" if "predictions" in wanted else "a result", _outcome(reply))]
    ok = reply["ok"]
    checks = [Check(f"{place}/ok", True)]
    if "predictions" in wanted:
        expected = [doubles.to_bits(number) for number in _predictions(wanted["predictions"], call)]
        actual = ok.get("predictions")
        checks.append(
            Check(f"{place}/predictions", actual == expected, _in_words([expected]), _in_words([actual or []]))
        )
    if "json" in wanted:
        text = call.body.decode() if wanted["json"] == "sent" else wanted["json"]
        checks.append(_json(f"{place}/json", text, ok.get("json", "")))
    for pointer, value in wanted.get("json_at", {}).items():
        document, problem = _parse(ok.get("json", "").encode(), exact=True)
        found, there = _at(document, pointer)
        held = problem is None and there and _same(found, value)
        checks.append(Check(f"{place}/json_at{pointer}", held, value, problem or (found if there else "nothing there")))
    if "bytes" in wanted:
        checks.append(_bytes(f"{place}/bytes", wanted["bytes"], base64.b64decode(ok.get("body", "")), call))
    if "healthy" in wanted:
        checks.append(
            Check(f"{place}/healthy", ok.get("healthy") is wanted["healthy"], wanted["healthy"], ok.get("healthy"))
        )
    return checks


def _predictions(wanted: Any, call: Call) -> list[float]:
    if wanted == "model":
        return article.predict(call.rows)
    if wanted == "drawn":
        return call.drawn
    return [float(cell) for cell in wanted]


def _at(document: Any, pointer: str) -> tuple[Any, bool]:
    """What a JSON pointer (RFC 6901) finds, and whether it finds anything."""
    for word in pointer.split("/")[1:]:
        step = word.replace("~1", "/").replace("~0", "~")
        try:
            document = document[int(step)] if isinstance(document, list) else document[step]
        except (KeyError, IndexError, ValueError, TypeError):
            return None, False
    return document, True


def _error(outcome: Outcome, wanted: Mapping[str, Any], requests: list[dict[str, Any]]) -> list[Check]:
    place, reply = f"{outcome.place}/error", outcome.reply
    if "error" not in reply:
        return [Check(f"{place}/kind", False, wanted["kind"], _outcome(reply))]
    error = reply["error"]
    checks = [Check(f"{place}/kind", error["kind"] == wanted["kind"], wanted["kind"], _outcome(reply))]
    if "at" in wanted:
        checks.append(Check(f"{place}/at", outcome.at == wanted["at"], wanted["at"], outcome.at))
    for name in ("status", "attempts", "timed_out", "model_status", "model_reason", "run_function_failed"):
        if name in wanted:
            held = name in error and error[name] == wanted[name]
            checks.append(Check(f"{place}/{name}", held, wanted[name], error.get(name)))
    for name in ("message", "text", "request_id"):
        checks += _text(f"{place}/{name}", wanted.get(name, {}), error.get(name) or "")
    if "retry_after" in wanted:
        if "retry_after" in error:
            checks += _bounds(f"{place}/retry_after", wanted["retry_after"], error["retry_after"])
        else:
            checks.append(Check(f"{place}/retry_after", False, wanted["retry_after"], "not reported"))
    if "client_request_id" in wanted:
        sent = _values(requests[-1]["header_lines"], "x-ms-client-request-id") if requests else []
        actual = error.get("client_request_id")
        checks.append(Check(f"{place}/client_request_id", sent == [actual], sent, actual))
    if "body" in wanted:
        body = base64.b64decode(error.get("body", ""))
        if "bytes" in wanted["body"]:
            checks += _bounds(f"{place}/body/bytes", wanted["body"]["bytes"], len(body))
        else:
            checks.append(_bytes(f"{place}/body", wanted["body"], body, None))
    return checks


def _secrets(planned: Planned, record: Record) -> list[Check]:
    """A planted credential may be in the Authorization header, and in the raw body of an error that echoed it."""
    if not planned.secrets:
        return [Check("/secret", True)]
    places: dict[str, str] = {}
    for index, request in enumerate(record.requests):
        lines = [line for line in request["header_lines"] if not line.lower().startswith("authorization:")]
        places[f"request {index}: request line or another header"] = "\n".join([request["request_line"], *lines])
        places[f"request {index}: body"] = base64.b64decode(request["body"]).decode("latin-1")
    for outcome in record.outcomes:
        error = outcome.reply.get("error", {})
        for name in ("text", "message", "request_id", "client_request_id", "model_reason"):
            places[f"the error's {name}{' at ' * bool(outcome.place)}{outcome.place}"] = str(error.get(name, ""))
    for index, told in enumerate(record.retries):
        places[f"the reason of retry {index}"] = told["reason"]
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
    if "error" in reply:
        return f"{reply['error']['kind']} error: {reply['error']['text']}"
    ok = reply["ok"]
    if "predictions" in ok:
        return f"predictions {_in_words([ok['predictions']])}"
    text = json.dumps(ok)
    return text if len(text) <= 300 else text[:300] + "…"


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
