"""Answers every call at once and sends nothing: with an empty success, or always with the same kind of error."""

import json
import sys

KIND = sys.argv[1] if len(sys.argv) > 1 else "ok"
ERROR = {
    "argument": {},
    "service": {
        "attempts": 1,
        "status": 401,
        "message": "",
        "body": "",
        "request_id": None,
        "client_request_id": None,
    },
    "transport": {"attempts": 1, "timed_out": False},
    "reply": {"attempts": 1},
}
CLIENT = {"name": "null", "language": "none", "language_version": "0", "http_library": "none"}

for line in sys.stdin:
    request = json.loads(line)
    reply = {"id": request["id"]}
    if request["op"] == "hello":
        reply["ok"] = {"protocol": 1, "level": 1, "client": CLIENT, "capabilities": [], "max_in_flight": 16}
    elif request["op"] != "score":
        reply["unsupported"] = request["op"]
    elif KIND == "ok":
        reply["ok"] = {"predictions": []}
    else:
        reply["error"] = {"kind": KIND, "text": "no", **ERROR[KIND]}
    print(json.dumps(reply), flush=True)
