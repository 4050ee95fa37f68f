"""The adapter of the Python client: reads requests from standard input, calls the client, writes the replies."""

import base64
import importlib.metadata
import json
import platform
import struct
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "clients" / "python"))
from scoring_client import AccessToken, ReplyError, Retry, ScoringClient, ServiceError, TransportError

MAX_IN_FLIGHT = 64
Message = dict[str, Any]


class ProviderFailed(Exception):
    """What the token provider raises when the suite says so."""


class HookFailed(Exception):
    """What the retry hook raises when the suite says so."""


class Channel:
    """Standard output, and the answers to what was asked there."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: dict[str, Future[Message]] = {}
        self._last_id = 0

    def write(self, message: Message) -> None:
        """Write one line."""
        line = json.dumps(message).encode() + b"\n"
        with self._lock:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()

    def tell(self, message: Message) -> None:
        """Write news."""
        self.write({"id": self._new_id(), **message})

    def ask(self, message: Message) -> Message:
        """Write a question and wait for its answer, which may never come."""
        answer: Future[Message] = Future()
        question = self._new_id()
        self._asked[question] = answer
        self.write({"id": question, **message})
        return answer.result()

    def answered(self, message: Message) -> None:
        """Hand an answer to the one who asked."""
        self._asked.pop(message["id"]).set_result(message["answer"])

    def _new_id(self) -> str:
        with self._lock:
            self._last_id += 1
            return f"python-{self._last_id}"


channel = Channel()
clients: dict[str, ScoringClient] = {}


def hello(_: Message) -> Message:
    """Say who answers."""
    return {
        "protocol": 1,
        "level": 2,
        "client": {
            "name": "python",
            "language": "Python",
            "language_version": platform.python_version(),
            "http_library": f"urllib3 {importlib.metadata.version('urllib3')}",
        },
        "capabilities": ["token_provider", "on_retry", "ca_file", "proxy", "close"],
        "max_in_flight": MAX_IN_FLIGHT,
    }


def open_client(request: Message) -> Message:
    """Make a client that stays."""
    name, options = request["client"], dict(request["options"])

    def provide() -> AccessToken:
        answer = channel.ask({"ask": "token", "client": name})
        if "error" in answer:
            raise ProviderFailed(answer["error"])
        return AccessToken(answer["token"], answer.get("refresh_by"))

    def hook(retry: Retry, throws: bool = options.get("on_retry") == "throw") -> None:
        news = {"attempt": retry.attempt, "wait": retry.wait, "reason": retry.reason}
        channel.tell({"tell": "retry", "client": name, **news})
        if throws:
            raise HookFailed("the hook failed")

    if options.pop("token_provider", False):
        options["token_provider"] = provide
    if "on_retry" in options:
        options["on_retry"] = hook
    clients[name] = ScoringClient(request["scoring_uri"], **options)
    return {}


def score(request: Message) -> Message:
    """Call a client that stays, or one that is made for this call."""
    rows = [[struct.unpack(">d", bytes.fromhex(cell))[0] for cell in row] for row in request["rows"]]
    if "client" in request:
        predictions = clients[request["client"]].score(rows, timeout=request.get("timeout"))
    else:
        with ScoringClient(request["scoring_uri"], key=request.get("key")) as client:
            predictions = client.score(rows)
    return {"predictions": [struct.pack(">d", prediction).hex() for prediction in predictions]}


def score_json(request: Message) -> Message:
    """Parse, call, write."""
    payload = json.loads(request["json"])
    return {"json": json.dumps(clients[request["client"]].score_json(payload, timeout=request.get("timeout")))}


def score_bytes(request: Message) -> Message:
    """Pass bytes on."""
    media_type = {"content_type": request["content_type"]} if "content_type" in request else {}
    body = base64.b64decode(request["body"])
    reply = clients[request["client"]].score_bytes(body, **media_type, timeout=request.get("timeout"))
    return {"body": base64.b64encode(reply).decode()}


def swagger(request: Message) -> Message:
    """Read the service's description."""
    return {"json": json.dumps(clients[request["client"]].swagger(timeout=request.get("timeout")))}


def health(request: Message) -> Message:
    """Ask whether the service is up."""
    return {"healthy": clients[request["client"]].is_healthy(timeout=request.get("timeout"))}


def close(request: Message) -> Message:
    """Release a client; calls on it are still answered."""
    clients[request["client"]].close()
    return {}


OPERATIONS: dict[str, Callable[[Message], Message]] = {
    "hello": hello,
    "open": open_client,
    "score": score,
    "score_json": score_json,
    "score_bytes": score_bytes,
    "swagger": swagger,
    "health": health,
    "close": close,
}


def describe(error: Exception) -> Message:
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
                "retry_after": error.retry_after,
                "model_status": error.model_status,
                "model_reason": error.model_reason,
                "run_function_failed": error.run_function_failed,
            }
        case TransportError():
            return {"kind": "transport", "text": str(error), "attempts": error.attempts, "timed_out": error.timed_out}
        case ReplyError():
            return {"kind": "reply", "text": str(error), "attempts": error.attempts}
        case ProviderFailed():
            return {"kind": "provider", "text": str(error)}
        case HookFailed():
            return {"kind": "hook", "text": str(error)}
        case ValueError() | TypeError():
            return {"kind": "argument", "text": str(error)}
        case RuntimeError() if str(error) == "the client is closed":
            return {"kind": "closed", "text": str(error)}
        case _:
            return {"kind": "unexpected", "text": f"{type(error).__name__}: {error}"}


def answer(request: Message) -> None:
    """Write the one reply to a request."""
    operation = OPERATIONS.get(request["op"])
    if operation is None:
        return channel.write({"id": request["id"], "unsupported": request["op"]})
    try:
        reply = {"ok": operation(request)}
    except Exception as error:
        reply = {"error": describe(error)}
    return channel.write({"id": request["id"], **reply})


with ThreadPoolExecutor(MAX_IN_FLIGHT) as calls:
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if "answer" in message:
            channel.answered(message)
        else:
            calls.submit(answer, message)
