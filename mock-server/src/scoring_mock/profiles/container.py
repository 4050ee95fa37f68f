"""The container layer: the inference server with a scoring script in it. It knows nothing of authentication.

Header order, reason phrases and texts are those of the genuine server, byte for byte.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from http import HTTPStatus
from time import perf_counter
from typing import Any

from scoring_mock.http_types import Response
from scoring_mock.profiles.call import Call, asks_to_close
from scoring_mock.profiles.cors import Cors
from scoring_mock.profiles.generations import Failure, Generation
from scoring_mock.profiles.host import is_host, known_host
from scoring_mock.profiles.http_date import http_date
from scoring_mock.profiles.inputs import InputRefusedError
from scoring_mock.profiles.pages import gunicorn_page, redirect_page
from scoring_mock.profiles.query import first_value
from scoring_mock.profiles.request_ids import Fields
from scoring_mock.scripts.script import AmlResponse, Schema, Script, Slept, StreamResponse
from scoring_mock.swagger.legacy import legacy_document
from scoring_mock.swagger.modern import BUILDERS, UNKNOWN_SCHEMA

# The web framework's names where they differ from Python's, and its upper case.
_NAMES = {
    203: "Non Authoritative Information",
    207: "Multi Status",
    413: "Request Entity Too Large",
    414: "Request URI Too Long",
    416: "Requested Range Not Satisfiable",
    422: "Unprocessable Entity",
    449: "Retry With",
    511: "Network Authentication Failed",
}
REASONS = {s.value: s.phrase.upper() for s in HTTPStatus} | {c: n.upper() for c, n in _NAMES.items()}

_HTML = ("Content-Type", "text/html; charset=utf-8")
_JSON = ("Content-Type", "application/json")
_NOT_FAILED = ("x-ms-run-function-failed", "False")
_FAILED = ("x-ms-run-function-failed", "True")
_CLOSE = ("Connection", "close")
_KEEP_ALIVE = ("Connection", "keep-alive")
_CHUNKED = ("Transfer-Encoding", "chunked")

_ROUTES = {
    "/": ("GET", "HEAD", "OPTIONS"),
    "/swagger.json": ("GET", "HEAD", "OPTIONS"),
    "/score": ("GET", "HEAD", "POST", "OPTIONS"),
}
_ALL_FLOATS = {float}


class Container:
    """One scoring script in one generation of the inference server."""

    def __init__(
        self,
        generation: Generation,
        script: Script,
        title: str,
        *,
        schema: Schema | None = None,
        cors_origins: Sequence[str] = (),
        scoring_timeout_ms: int = 3_600_000,
    ) -> None:
        """Make the layer.

        `title` names the service in its OpenAPI documents, `schema` replaces the script's definitions there.
        `cors_origins` are the allowed origins (none: no cross-origin headers). `scoring_timeout_ms` is
        SCORING_TIMEOUT_MS of the genuine server.
        """
        self._generation = generation
        self._script = script
        self._cors = Cors(cors_origins) if cors_origins and generation.cors else None
        self._timeout_ms = scoring_timeout_ms
        version = generation.server_version
        self._version_fields: Fields = [("x-ms-server-version", version)] if version else []
        self._server = ("Server", generation.web_server)
        self._title = title
        self._schema = schema or script.schema
        self._documents: dict[str, bytes] = {}

    def answer(self, call: Call) -> Response:
        """Answer a request."""
        if not is_host(call.headers.get("host", "")):
            return self._failure(call, "not-understood", "", [], router=True)
        methods = _ROUTES.get(call.path)
        generation = self._generation
        if methods is None or call.method not in methods:
            if not call.path and call.method in _ROUTES["/"]:
                return self._redirect_to_root(call)
            ids = generation.request_ids(call.headers)[0] if generation.ids_on_router_errors else []
            return self._failure(call, "not-found" if methods is None else "method-not-allowed", "", ids, router=True)
        if "upgrade" in call.headers and _wants_websocket(call):
            return self._failure(call, "not-understood", "", [], router=True)
        ids, too_long = generation.request_ids(call.headers)
        if "traceid" in call.headers:
            ids.append(("TraceId", call.headers["traceid"]))
        if too_long:
            return self._failure(call, "id-too-long", too_long, ids)
        if call.path == "/score":
            return self._score(call, ids)
        if call.method == "OPTIONS":
            return self._options(call, ids)
        if call.path == "/":
            return self._reply(call, 200, [_HTML, ("Content-Length", "7")], b"Healthy", ids)  # W01
        return self._swagger(call, ids)

    def answer_with(self, call: Call, result: object) -> Response:
        """Answer a scoring request as if the script had returned `result`."""
        ids, too_long = self._generation.request_ids(call.headers)
        if too_long:
            return self._failure(call, "id-too-long", too_long, ids)
        return self._timed_result(call, result, 0.0, ids)

    def _score(self, call: Call, ids: Fields) -> Response:
        script, generation = self._script, self._generation
        if script.takes != "raw":
            if call.method == "OPTIONS" and generation.options_score:
                return self._reply(call, 200, [_HTML, ("Content-Length", "0"), _NOT_FAILED], b"", ids)  # W17
            if call.method == "HEAD" and not generation.options_score:
                # The legacy server routes HEAD as the GET that it belongs to.
                call.method = "GET"
                return _without_body(self._score(call, ids))
        try:
            argument = generation.parse_input(script, call)
        except InputRefusedError as refused:
            return self._failure(call, refused.refusal, refused.detail, ids)
        started = perf_counter()
        try:
            result = script.run(argument)
        except SystemExit:
            return gunicorn_page(500)  # W33
        except TimeoutError:
            return self._failure(call, "script-timeout", str(self._timeout_ms), ids)
        except Exception as error:
            return self._failure(call, "script-failed", str(error), ids)  # W06
        return self._timed_result(call, result, (perf_counter() - started) * 1000, ids)

    def _timed_result(self, call: Call, result: object, elapsed_ms: float, ids: Fields) -> Response:
        if type(result) is Slept:
            if result.seconds * 1000 >= self._timeout_ms:
                late = self._failure(call, "script-timeout", str(self._timeout_ms), ids)
                late.delay = self._timeout_ms / 1000
                return late
            elapsed_ms += result.seconds * 1000
            reply = self._result(call, result.result, elapsed_ms, ids)
            reply.delay = result.seconds
            return reply
        return self._result(call, result, elapsed_ms, ids)

    def _result(self, call: Call, result: object, elapsed_ms: float, ids: Fields) -> Response:
        taken = ("x-ms-run-fn-exec-ms", f"{elapsed_ms:.3f}")  # W12
        if type(result) is AmlResponse:
            return self._aml_response(call, result, taken, ids)
        if type(result) is StreamResponse:
            fields = [("Content-Type", result.content_type), taken]
            return self._reply(call, 200, fields, b"", ids, chunks=result.chunks)
        try:
            body = to_json({} if result is None else result)  # W09
        except Exception as error:
            return self._failure(call, "internal", f"{type(error).__name__}: {error}", ids)  # W08
        fields = [_JSON, ("Content-Length", str(len(body))), _NOT_FAILED, taken]
        return self._reply(call, 200, fields, body, ids)

    def _aml_response(self, call: Call, answer: AmlResponse, taken: tuple[str, str], ids: Fields) -> Response:
        """Send what a script chose to send; commas in header values split them into lines (W20)."""
        try:
            if answer.message is None or answer.json_body:
                body = to_json({} if answer.message is None else answer.message)
                content_type: tuple[str, str] | None = _JSON
            else:
                message = answer.message
                body = message if isinstance(message, bytes) else str(message).encode()
                content_type = None if "Content-Type" in answer.headers else _HTML
        except Exception as error:  # raised inside run() on the genuine server
            return self._failure(call, "script-failed", str(error), ids)
        fields = [content_type] if content_type else []
        if answer.status >= 200 and answer.status not in (204, 304):
            fields.append(("Content-Length", str(len(body))))
        failed = answer.status >= 500 and self._generation.marks_server_errors
        fields.append(_FAILED if failed else _NOT_FAILED)
        for name, value in answer.headers.items():
            fields.extend((name, part.strip()) for part in value.split(","))
        fields.append(taken)
        if answer.status in (204, 304):
            body = b""
        return self._reply(call, answer.status, fields, body, ids)

    def _swagger(self, call: Call, ids: Fields) -> Response:
        version = first_value(call.query, "version")
        if not self._generation.swagger_versions:
            version = "legacy" if self._schema else "none"  # W16
        elif version is None:
            version = "2"
        body = self._document(version)
        if body is None:
            return self._failure(call, "swagger-not-found", version, ids)
        fields = [_JSON, ("Content-Length", str(len(body))), _NOT_FAILED]
        return self._reply(call, 200, fields, body, ids)

    def _document(self, version: str) -> bytes | None:
        """Return the OpenAPI document of a version (W15); None when there is none. Built when first asked for."""
        if version not in self._documents:
            if version == "legacy" and self._schema:
                document = legacy_document(self._title, self._schema)
            elif version in BUILDERS:
                document = BUILDERS[version](self._title, self._schema or UNKNOWN_SCHEMA)
            else:
                return None
            self._documents[version] = json.dumps(document).encode()
        return self._documents[version]

    def _redirect_to_root(self, call: Call) -> Response:
        """Answer `GET http://host`, a target without a path, as the router does."""
        location = f"http://{known_host(call.headers.get('host', '127.0.0.1'))}/" + (
            f"?{call.query}" if call.query else ""
        )
        body = redirect_page(location)
        fields = [_HTML, ("Content-Length", str(len(body))), ("Location", location)]
        return self._bare_reply(call, 308, fields, body)

    def _options(self, call: Call, ids: Fields) -> Response:
        reply = self._reply(call, 200, [_HTML, ("Allow", "GET, OPTIONS, HEAD")], b"", ids)
        reply.headers.append(("Content-Length", "0"))
        return reply

    def _failure(self, call: Call, failure: Failure, detail: str, ids: Fields, *, router: bool = False) -> Response:
        form = self._generation.errors[failure]
        text = form.text.replace("{}", detail)
        if form.shape == "text":
            body, content_type = text.encode(), _HTML
        else:
            body = json.dumps({"message": text} if form.shape == "message" else text).encode()
            content_type = _JSON
        fields = [content_type, ("Content-Length", str(len(body)))]
        if form.failed is not None:
            fields.append(_FAILED if form.failed else _NOT_FAILED)
        if router:
            fields.extend(ids)
            return self._bare_reply(call, form.status, fields, body)
        return self._reply(call, form.status, fields, body, ids)

    def _reply(
        self,
        call: Call,
        status: int,
        fields: Fields,
        body: bytes,
        ids: Fields,
        chunks: list[bytes] | None = None,
    ) -> Response:
        """Add what the application adds to all its replies: cross-origin headers, version, ids."""
        if self._cors is not None:
            fields += self._cors.headers(call.method, call.headers)
        return self._bare_reply(call, status, [*fields, *self._version_fields, *ids], body, chunks)

    def _bare_reply(
        self, call: Call, status: int, fields: Fields, body: bytes, chunks: list[bytes] | None = None
    ) -> Response:
        """Add what the web server adds: its name, the date, and the end of the connection (W13)."""
        closes = self._generation.closes or asks_to_close(call)
        head = [self._server, ("Date", http_date()), _CLOSE if closes else _KEEP_ALIVE]
        if chunks is not None:
            if call.method == "HEAD" or call.request.version < (1, 1):
                body, chunks = b"".join(chunks), None
            else:
                head.append(_CHUNKED)  # W21
        reason = REASONS.get(status, "UNKNOWN")
        reply = Response(status, reason, head + fields, body, chunks, closes)
        if call.request.version != (1, 1):
            reply.version = "HTTP/{}.{}".format(*call.request.version)
        return _without_body(reply) if call.method == "HEAD" else reply


def _wants_websocket(call: Call) -> bool:
    options = call.headers.get("connection", "").lower().split(",")
    return call.headers["upgrade"].lower() == "websocket" and "upgrade" in map(str.strip, options)


def _without_body(reply: Response) -> Response:
    reply.body = b""
    return reply


def to_json(value: Any) -> bytes:
    """Encode as Python's json does by default: ASCII, `, ` and `: `, NaN and Infinity as such (W09)."""
    if type(value) is list and set(map(type, value)) == _ALL_FLOATS:
        return floats_to_json(value)
    return json.dumps(value).encode()


def floats_to_json(values: list[float]) -> bytes:
    """Encode a list that has nothing but floats as `to_json` does."""
    text = repr(values)
    # Of finite floats repr() is the same text, at a third of the price; nan and inf have an n.
    return text.encode() if "n" not in text else json.dumps(values).encode()
