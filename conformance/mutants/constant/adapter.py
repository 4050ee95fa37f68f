"""Sends the right request and returns the article's two numbers, whatever was asked and whatever came back."""

import http.client
import json
import struct
import sys
import urllib.parse
import uuid

CLIENT = {"name": "constant", "language": "Python", "language_version": "3", "http_library": "http.client"}
ANSWER = [struct.pack(">d", number).hex() for number in (217.67978776218715, 224.78937091757172)]


def send(request: dict) -> None:
    """What any right client would send; the reply is thrown away."""
    uri = urllib.parse.urlsplit(request["scoring_uri"])
    rows = [[struct.unpack(">d", bytes.fromhex(cell))[0] for cell in row] for row in request["rows"]]
    headers = {"Content-Type": "application/json", "x-ms-client-request-id": str(uuid.uuid4())}
    if "key" in request:
        headers["Authorization"] = f"Bearer {request['key']}"
    connection = http.client.HTTPConnection(uri.hostname, uri.port, timeout=20)
    try:
        connection.request("POST", uri.path, json.dumps({"data": rows}), headers)
        connection.getresponse().read()
    except (OSError, ValueError, http.client.HTTPException):
        pass
    finally:
        connection.close()


for line in sys.stdin:
    request = json.loads(line)
    reply = {"id": request["id"]}
    if request["op"] == "hello":
        reply["ok"] = {"protocol": 1, "level": 1, "client": CLIENT, "capabilities": [], "max_in_flight": 1}
    elif request["op"] == "score":
        send(request)
        reply["ok"] = {"predictions": ANSWER}
    else:
        reply["unsupported"] = request["op"]
    print(json.dumps(reply), flush=True)
