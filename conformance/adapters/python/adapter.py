"""The adapter of the Python client: reads requests from standard input, calls the client, writes the replies."""

import base64
import importlib.metadata
import json
import platform
import struct
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "clients" / "python"))
from scoring_client import ReplyError, ScoringClient, ServiceError, TransportError

MAX_IN_FLIGHT = 16
_output = threading.Lock()


def hello() -> dict[str, Any]:
    """Say who answers."""
    return {
        "protocol": 1,
        "level": 1,
        "client": {
            "name": "python",
            "language": "Python",
            "language_version": platform.python_version(),
            "http_library": f"urllib3 {importlib.metadata.version('urllib3')}",
        },
        "capabilities": [],
        "max_in_flight": MAX_IN_FLIGHT,
    }


def score(request: dict[str, Any]) -> dict[str, Any]:
    """Make a client, call it, release it."""
    rows = [[struct.unpack(">d", bytes.fromhex(cell))[0] for cell in row] for row in request["rows"]]
    with ScoringClient(request["scoring_uri"], key=request.get("key")) as client:
        predictions = client.score(rows)
    return {"predictions": [struct.pack(">d", prediction).hex() for prediction in predictions]}


def describe(error: Exception) -> dict[str, Any]:
    """The error as the protocol says it."""
    match error:
        case ServiceError():
            return {
                "kind": "service",
                "text": str(error),
                "attempts": error.attempts,
                "status": error.status,
                "message": error.message,
                "body": base64.b64encode(error.body).decode(),
                "request_id": error.request_id,
                "client_request_id": error.client_request_id,
            }
        case TransportError():
            return {"kind": "transport", "text": str(error), "attempts": error.attempts, "timed_out": error.timed_out}
        case ReplyError():
            return {"kind": "reply", "text": str(error), "attempts": error.attempts}
        case ValueError() | TypeError():
            return {"kind": "argument", "text": str(error)}
        case _:
            return {"kind": "unexpected", "text": f"{type(error).__name__}: {error}"}


def answer(request: dict[str, Any]) -> None:
    """Write the one reply to a request."""
    reply: dict[str, Any] = {"id": request["id"]}
    match request["op"]:
        case "hello":
            reply["ok"] = hello()
        case "score":
            try:
                reply["ok"] = score(request)
            except Exception as error:
                reply["error"] = describe(error)
        case op:
            reply["unsupported"] = op
    line = json.dumps(reply).encode() + b"\n"
    with _output:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()


with ThreadPoolExecutor(MAX_IN_FLIGHT) as calls:
    for line in sys.stdin.buffer:
        calls.submit(answer, json.loads(line))
