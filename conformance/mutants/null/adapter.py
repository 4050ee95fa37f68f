"""Answers every call at once and sends nothing: with an empty success, or always with the same kind of error."""

import json
import sys

KIND = sys.argv[1] if len(sys.argv) > 1 else "ok"
SERVICE = {"attempts": 1, "status": 401, "message": "", "body": "", "request_id": None, "client_request_id": None}
MODEL = {"retry_after": None, "model_status": None, "model_reason": None, "run_function_failed": False}
ERROR = {
    "argument": {},
    "service": {**SERVICE, **MODEL},
    "transport": {"attempts": 1, "timed_out": False},
    "reply": {"attempts": 1},
}
EMPTY = {
    "score": {"predictions": []},
    "score_json": {"json": "null"},
    "score_bytes": {"body": ""},
    "swagger": {"json": "null"},
    "health": {"healthy": False},
    "open": {},
    "cancel": {},
    "close": {},
}
CLIENT = {"name": "null", "language": "none", "language_version": "0", "http_library": "none"}
CAPABILITIES = ["token_provider", "on_retry", "ca_file", "proxy", "cancel"]

for line in sys.stdin:
    request = json.loads(line)
    reply = {"id": request["id"]}
    op = request["op"]
    if op == "hello":
        reply["ok"] = {"protocol": 1, "level": 2, "client": CLIENT, "capabilities": CAPABILITIES, "max_in_flight": 64}
    elif op not in EMPTY:
        reply["unsupported"] = op
    elif KIND == "ok" or op in ("open", "cancel", "close"):
        reply["ok"] = EMPTY[op]
    else:
        reply["error"] = {"kind": KIND, "text": "no", **ERROR[KIND]}
    print(json.dumps(reply), flush=True)
