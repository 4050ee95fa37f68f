"""Replies of the control plane: the headers and error envelopes of the two services that it stands for."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any

from scoring_mock.http_types import Headers, Request, Response, reason_phrase
from scoring_mock.profiles.http_date import http_date


class ControlError(Exception):
    """A refusal; each of the two services has an envelope of its own for it.

    `details` are pairs of a code and a sentence. v1 gives its reasons there; v2 says the first of them in its message.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Sequence[tuple[str, str]] = (),
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = tuple(details)
        self.headers = list(headers)


def model_management_reply(
    request: Request, status: int, value: Any = None, headers: Sequence[tuple[str, str]] = ()
) -> Response:
    """Return a reply of the Model Management Service (v1); a `value` of None means no body.

    Headers as in recordings of 2019 to 2020 (computervision-recipes#501): chunked, and ids without dashes.
    """
    fields: Headers = [
        ("Date", http_date()),
        ("Connection", "keep-alive"),
        ("api-supported-versions", "1.0, 2018-03-01-preview, 2018-11-19"),
        ("x-ms-client-request-id", request.header("x-ms-client-request-id") or uuid.uuid4().hex),
        ("x-ms-client-session-id", request.header("x-ms-client-session-id") or ""),
        ("Strict-Transport-Security", "max-age=15724800; includeSubDomains; preload"),
        *headers,
    ]
    if value is None:
        fields.insert(1, ("Content-Length", "0"))
        return Response(status, reason_phrase(status), fields, source="front-end")
    fields[1:1] = [("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")]
    return Response(status, reason_phrase(status), fields, chunks=[_json(value)], source="front-end")


def model_management_error(request: Request, error: ControlError) -> Response:
    """Return a refusal in the envelope of v1: `{"code", "statusCode", "message", "details": [{"code", "message"}]}`."""
    value: dict[str, Any] = {"code": error.code, "statusCode": error.status, "message": error.message}
    if error.details:
        value["details"] = [{"code": code, "message": message} for code, message in error.details]
    return model_management_reply(request, error.status, value, error.headers)


def resource_manager_reply(
    request: Request, status: int, value: Any = None, headers: Sequence[tuple[str, str]] = ()
) -> Response:
    """Return a reply of Azure Resource Manager (v2); a `value` of None means no body."""
    request_id = str(uuid.uuid4())
    body = b"" if value is None else _json(value)
    fields: Headers = [
        ("Cache-Control", "no-cache"),
        ("Pragma", "no-cache"),
        ("Expires", "-1"),
        ("x-ms-request-id", request_id),
        ("x-ms-correlation-request-id", request.header("x-ms-correlation-request-id") or request_id),
        ("Strict-Transport-Security", "max-age=31536000; includeSubDomains"),
        ("X-Content-Type-Options", "nosniff"),
        ("Date", http_date()),
        *headers,
    ]
    if status != 204:
        fields.insert(2, ("Content-Length", str(len(body))))
    if value is not None:
        fields.insert(3, ("Content-Type", "application/json; charset=utf-8"))
    return Response(status, reason_phrase(status), fields, body, source="front-end")


def resource_manager_error(request: Request, error: ControlError) -> Response:
    """Return a refusal in the envelope of v2: `{"error": {"code", "message"}}`."""
    code, message = error.code, error.message
    if error.details:
        code, message = "UserError" if error.status == 400 else code, error.details[0][1]
    return resource_manager_reply(request, error.status, {"error": {"code": code, "message": message}}, error.headers)


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")
