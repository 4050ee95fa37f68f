"""An undecorated script: it sums rows, and shows on request what scripts do wrong."""

import json
import time


def init():
    """Nothing to load."""


def run(data):
    """Return the sum of each row of `data`, or what `mode` asks for."""
    request = json.loads(data)
    mode = request.get("mode") if isinstance(request, dict) else None
    if mode == "raise":
        raise ValueError("boom secret detail")
    if mode == "obj":
        return object()
    if mode == "set":
        return {1, 2}
    if mode == "dumps":
        return json.dumps({"result": [1, 2.5]})
    if mode == "none":
        return None
    if mode == "nan":
        return {"x": float("nan"), "y": float("inf")}
    if mode == "bytes":
        return b"abc"
    if mode == "uni":
        return {"s": "é漢😀"}
    if mode == "sleep":
        time.sleep(request.get("s", 1))
        return "slept"
    if mode == "error":
        return {"error": "caught in run()"}
    if mode == "exit":
        raise SystemExit(9)
    if mode == "big":
        return [0] * int(request["n"])
    return [sum(row) for row in request["data"]]
