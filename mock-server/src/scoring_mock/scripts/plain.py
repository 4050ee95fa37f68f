"""Undecorated scripts: run() gets the body as text and parses it itself, so it alone judges the input (W04)."""

from __future__ import annotations

import json
from typing import Any

from scoring_mock.scripts.arrays import as_matrix
from scoring_mock.scripts.model import WIDTH, predict
from scoring_mock.scripts.script import InputKind, Parameter, Schema, Slept

_MOST_ELEMENTS = 10_000_000


class _Undecorated:
    takes: InputKind = "text"
    parameters: tuple[Parameter, ...] = ()
    schema: Schema | None = None


class PlainScript(_Undecorated):
    """Sums rows, and shows on request (`{"mode": ...}`) what scripts do wrong.

    The modes: `raise`, `obj`, `set`, `bytes` (results that JSON cannot hold), `dumps` (a string holding JSON),
    `none`, `nan`, `uni`, `sleep` (with `s`, seconds), `error` (an error inside a success), `exit` (ends the
    worker), `big` (with `n`, elements).
    """

    kind = "plain"

    def run(self, value: str) -> object:
        """Return the sum of each row of `data`, or what the mode says."""
        request = json.loads(value)
        mode = request.get("mode") if isinstance(request, dict) else None
        match mode:
            case "raise":
                raise ValueError("boom secret detail")
            case "obj":
                return object()
            case "set":
                return {1, 2}
            case "bytes":
                return b"abc"
            case "dumps":
                return json.dumps({"result": [1, 2.5]})
            case "none":
                return None
            case "nan":
                return {"x": float("nan"), "y": float("inf")}
            case "uni":
                return {"s": "é漢😀"}
            case "sleep":
                seconds = float(request.get("s", 1))
                if seconds < 0:
                    raise ValueError("sleep length must be non-negative")
                return Slept(seconds, "slept")
            case "error":
                return {"error": "caught in run()"}
            case "exit":
                raise SystemExit(9)
            case "big":
                elements = int(request["n"])
                if elements > _MOST_ELEMENTS:
                    raise MemoryError(f"more than {_MOST_ELEMENTS} elements")
                return [0] * elements
            case _:
                return [sum(row) for row in request["data"]]


class UndecoratedScript(_Undecorated):
    """The article's model without decorators: parses the text itself, answers a list."""

    kind = "undecorated"

    def run(self, value: str) -> object:
        """Score the member `data` of the text."""
        document: Any = json.loads(value)
        return predict(as_matrix(document["data"], WIDTH))


class DumpsScript(UndecoratedScript):
    """As many samples have it: run() returns `json.dumps(result)`, and the server encodes it once more (W09)."""

    kind = "dumps"

    def run(self, value: str) -> object:
        """Score, and return the JSON text of the scores."""
        return json.dumps(super().run(value))
