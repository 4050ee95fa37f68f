"""The one request that load consists of, answered in one step; everything else goes through the layers.

The layers are the truth: a hot path learns its header fields from their answers when it is made, and gives way (None)
whenever a request is not plainly the common one. A test compares the two, byte by byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from time import perf_counter

from scoring_mock.http_types import Headers, Request, Response
from scoring_mock.profiles.container import floats_to_json
from scoring_mock.profiles.host import is_host
from scoring_mock.profiles.http_date import http_date
from scoring_mock.profiles.inputs import loads
from scoring_mock.profiles.request_ids import new_uuid
from scoring_mock.scripts.model import SAMPLE_ROW, predict

LARGEST_BODY = 1024 * 1024  # bytes

# Request headers that change the answer in ways that only the layers know.
_SPECIAL = frozenset(
    ("x-request-id", "x-ms-request-id", "traceid", "connection", "origin", "azureml-model-deployment", "expect")
)
_CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")  # neither cleaned, cut nor refused by any layer
_VARIABLE = (
    "date",
    "content-length",
    "x-ms-run-fn-exec-ms",
    "x-request-id",
    "x-ms-request-id",
    "x-ms-client-request-id",
)


class _Template:
    """The header fields of a good reply, and where the variable ones are."""

    def __init__(self, fields: Headers) -> None:
        self.fields = fields
        self.places = {
            name.lower(): (place, name) for place, (name, _) in enumerate(fields) if name.lower() in _VARIABLE
        }


class HotPath:
    """Scoring requests for the model: POST, `application/json`, a good credential, rows of ten plain numbers."""

    def __init__(
        self,
        target: str,
        layers: Callable[[Request], Response],
        accepts: Callable[[str | None], bool],
        authorization: str | None,
    ) -> None:
        """Learn from `layers`, the service without its hot path.

        `target` is the scoring path, `accepts` judges an Authorization header, `authorization` is one that is good.
        """
        self._target = target
        self._accepts = accepts
        self._host = ""  # the newest that the router takes

        def learn(*more: tuple[str, str]) -> _Template:
            fields = [("content-type", "application/json"), *more]
            if authorization is not None:
                fields.append(("authorization", authorization))
            body = b'{"data": [' + repr(list(SAMPLE_ROW)).encode() + b"]}"
            reply = layers(Request("POST", target, (1, 1), [], fields, body, ("", 0), ""))
            if reply.status != 200:
                raise ValueError(f"the layers answer {reply.status} to a plain request")
            self._close = reply.close
            return _Template(reply.headers)

        self._plain = learn()
        self._with_client_id = learn(("x-ms-client-request-id", "x"))

    def answer(self, request: Request) -> Response | None:
        """Answer the request, or None when it is for the layers."""
        fields = request.headers
        headers = dict(fields)
        if (
            request.target != self._target
            or request.method != "POST"
            or request.version != (1, 1)
            or len(request.body) > LARGEST_BODY
            or len(headers) != len(fields)
            or not _SPECIAL.isdisjoint(headers)
            or headers.get("content-type") != "application/json"
            or not self._accepts(headers.get("authorization"))
        ):
            return None
        host = headers.get("host", "")
        if host != self._host:
            if not is_host(host):
                return None
            self._host = host
        client_id = headers.get("x-ms-client-request-id")
        if client_id is None:
            template = self._plain
        elif _CLIENT_ID.fullmatch(client_id):
            template = self._with_client_id
        else:
            return None
        try:
            rows = loads(request.body)["data"]
            if type(rows) is not list or not rows:
                return None
            started = perf_counter()
            scores = predict(rows)
            elapsed_ms = (perf_counter() - started) * 1000
        except Exception:  # what is wrong with it, and in which words, the layers know
            return None
        body = floats_to_json(scores)
        reply_fields = template.fields.copy()
        places = template.places
        place, name = places["date"]
        reply_fields[place] = (name, http_date())
        place, name = places["content-length"]
        reply_fields[place] = (name, str(len(body)))
        place, name = places["x-ms-run-fn-exec-ms"]
        reply_fields[place] = (name, f"{elapsed_ms:.3f}")
        request_id = new_uuid()
        place, name = places["x-request-id"]
        reply_fields[place] = (name, request_id)
        place, name = places["x-ms-request-id"]
        reply_fields[place] = (name, client_id or request_id)
        if client_id is not None:
            place, name = places["x-ms-client-request-id"]
            reply_fields[place] = (name, client_id)
        return Response(200, "OK", reply_fields, body, None, self._close)
