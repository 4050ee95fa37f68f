"""From a request to the argument of run(): the input parsers of the two generations of the inference server."""

from __future__ import annotations

import json
from typing import Any, Literal

from scoring_mock.profiles.call import Call
from scoring_mock.profiles.query import query_pairs
from scoring_mock.scripts.raw_request import RawRequest
from scoring_mock.scripts.script import REQUIRED, Script

Refusal = Literal["bad-input", "unsupported-media-type", "score-method-not-allowed", "internal", "script-failed"]

_UNREADABLE = "the chunks of the body cannot be read"
_FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")


class InputRefusedError(Exception):
    """The request never reaches run(): how it is refused, and the detail of the text."""

    def __init__(self, refusal: Refusal, detail: str = "") -> None:
        super().__init__(detail)
        self.refusal: Refusal = refusal
        self.detail = detail


def modern_input(script: Script, call: Call) -> Any:
    """Return the argument of run() as the modern server builds it, for the three kinds of script."""
    if script.takes == "raw":
        return _raw(call)
    if call.method == "POST":
        return _modern_object(script, call) if script.takes == "schema" else _text(call)
    if call.method == "GET":
        members = _query_members(call.query)  # W42
        return json.dumps(members) if script.takes == "text" else _extract(script, members)
    raise InputRefusedError("score-method-not-allowed")


def _raw(call: Call) -> RawRequest:
    if call.unreadable and call.method == "POST":
        raise InputRefusedError("script-failed", _UNREADABLE)  # run() asks for the body, and that raises
    return RawRequest(
        method=call.method,
        path=call.path,
        query=call.query,
        args=dict(reversed(query_pairs(call.query))),
        content_type=call.headers.get("content-type", ""),
        body=call.request.body,
    )


def _modern_object(script: Script, call: Call) -> dict[str, Any]:
    content_type = call.headers.get("content-type", "")
    if content_type != "application/json" and not _is_json(content_type):
        raise InputRefusedError("unsupported-media-type")  # W03 W39
    if call.unreadable:
        raise InputRefusedError("internal", _UNREADABLE)
    body = call.request.body
    try:
        document = loads(body)
    except json.JSONDecodeError as error:
        if body:
            raise InputRefusedError("bad-input", f"POST body could not be decoded as JSON: {error}") from error
        raise InputRefusedError("bad-input", "POST body is empty. Expecting a JSON dictionary.") from error
    except Exception as error:  # not UTF-8 (a compressed body, W40), nested too deeply, a number of too many digits
        raise InputRefusedError("internal", _described(error)) from error
    if type(document) is not dict:
        raise InputRefusedError("bad-input", "POST body should be a JSON dictionary.")
    return _extract(script, document)


_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


def loads(body: bytes) -> Any:
    """Decode JSON as `json.loads(bytes)` does: UTF-8 with or without a BOM (W41), UTF-16 and UTF-32 too."""
    if body.startswith(b'{"'):
        try:
            text = body.decode()
            value, end = _scan(text, 0)
        except (UnicodeDecodeError, StopIteration):
            return json.loads(body)
        if end == len(text):
            return value
    return json.loads(body)


def _is_json(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))


def _extract(script: Script, members: dict[str, Any]) -> dict[str, Any]:
    """Pick the parameters of run(); other members are ignored."""
    arguments = {}
    for parameter in script.parameters:
        value = members.get(parameter.name, parameter.default)
        if value is REQUIRED:
            raise InputRefusedError("bad-input", f"A value is not provided for the {parameter.name!r} parameter.")
        arguments[parameter.name] = value
    return arguments


def _text(call: Call) -> str:
    """Return the body as text. A form is empty to an undecorated script: the web framework takes it away (W39)."""
    if call.unreadable:
        raise InputRefusedError("internal", _UNREADABLE)
    media_type, _, options = call.headers.get("content-type", "").partition(";")
    media_type = media_type.strip().lower()
    if media_type in _FORM_TYPES and (media_type != "multipart/form-data" or "boundary=" in options.lower()):
        return ""
    try:
        return str(call.request.body, "utf-8")
    except UnicodeDecodeError as error:
        raise InputRefusedError("bad-input", f"Input cannot be decoded as UTF-8: {error}") from error


def _query_members(query: str) -> dict[str, Any]:
    """Return the query's values, parsed as JSON where they are JSON; repeated names become a list (W42)."""
    found: dict[str, list[Any]] = {}
    for name, text in query_pairs(query):
        try:
            value: Any = json.loads(text)
        except ValueError:
            value = text
        except RecursionError as error:
            raise InputRefusedError("internal", _described(error)) from error
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def legacy_input(script: Script, call: Call) -> Any:
    """Return the argument of run() as the legacy server builds it.

    It judges less before the script: bad JSON is an internal error, a missing or unknown member a failure of
    run() (W07).
    """
    if call.method not in ("GET", "POST") and script.takes != "raw":
        raise InputRefusedError("score-method-not-allowed")  # W17
    if script.takes == "raw":
        return _raw(call)
    if call.method == "GET":
        members = _query_members(call.query)
        return json.dumps(members) if script.takes == "text" else _legacy_arguments(script, members)
    if script.takes == "text":
        try:
            return _text(call)
        except InputRefusedError as error:
            raise InputRefusedError("internal", error.detail) from error
    if call.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise InputRefusedError("unsupported-media-type")
    try:
        document = json.loads(call.request.body)
    except (ValueError, RecursionError) as error:
        raise InputRefusedError("internal", _described(error)) from error
    return _legacy_arguments(script, document)


def _legacy_arguments(script: Script, document: Any) -> dict[str, Any]:
    if type(document) is not dict:
        raise InputRefusedError(
            "bad-input", f"run() argument after ** must be a mapping, not {type(document).__name__}"
        )
    known = {parameter.name for parameter in script.parameters}
    for parameter in script.parameters:
        if parameter.name not in document and parameter.default is REQUIRED:
            raise InputRefusedError("bad-input", "list index out of range")
    for name in document:
        if name not in known:
            raise InputRefusedError("bad-input", f"run() got an unexpected keyword argument {name!r}")
    return {p.name: document.get(p.name, p.default) for p in script.parameters}


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
