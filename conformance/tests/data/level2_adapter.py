"""An adapter of level 2 over a small client of its own. Tests append what spoils it, and `main()`."""

import base64
import contextlib
import http.client
import itertools
import json
import os  # noqa: F401 (tests add to this file)
import queue
import struct
import sys
import threading
import time
import urllib.parse
import uuid

CLIENT = {"name": "made-up", "language": "Python", "language_version": "3", "http_library": "http.client"}
CAPABILITIES = ["token_provider", "on_retry", "ca_file", "proxy", "cancel"]
MODEL = {"retry_after": None, "model_status": None, "model_reason": None, "run_function_failed": False}
lock = threading.Lock()
numbers = itertools.count()
clients = {}
answers = {}
cancelled = {}


class Failure(Exception):
    def __init__(self, kind, text, **more):
        self.reply = {"kind": kind, "text": text, **more}


class Client:
    def __init__(self, name, uri, options):
        self.name, self.uri, self.options, self.token = name, urllib.parse.urlsplit(uri), options, None

    def credential(self, fresh=False):
        if "token_provider" not in self.options:
            return self.options.get("key")
        if self.token is None or fresh:
            self.token = ask(self.name)
        return self.token

    def send(self, request, method, path, body, media_type):
        headers = {"x-ms-client-request-id": str(uuid.uuid4())}
        if body is not None:
            headers["Content-Type"] = media_type
        attempt = 0
        while True:
            attempt += 1
            credential = self.credential()
            if credential is not None:
                headers["Authorization"] = "Bearer " + credential
            status, reply = self.once(request, method, path, body, headers)
            if status == 401 and attempt == 1 and "token_provider" in self.options:
                self.credential(fresh=True)
                continue
            if status == 503 and attempt <= self.options.get("max_retries", 3):
                tell(self.name, attempt, 0.01, "503")
                time.sleep(0.01)
                continue
            if status != 200:
                more = {"message": "", "body": "", "request_id": None, "client_request_id": None}
                raise Failure("service", str(status), attempts=attempt, status=status, **more, **MODEL)
            return reply

    def once(self, request, method, path, body, headers):
        connection = http.client.HTTPConnection(self.uri.hostname, self.uri.port)
        cancelled[request["id"]] = event = threading.Event()
        connection.connect()
        sock = connection.sock

        def watch():
            event.wait()
            with contextlib.suppress(OSError):
                sock.shutdown(2)

        threading.Thread(target=watch, daemon=True).start()
        try:
            connection.request(method, path, body, headers)
            reply = connection.getresponse()
            return reply.status, reply.read()
        except (OSError, http.client.HTTPException):
            if event.is_set():
                raise Failure("cancelled", "cancelled") from None
            raise Failure("transport", "no answer", attempts=1, timed_out=False) from None
        finally:
            event.set()
            connection.close()


def say(message):
    with lock:
        print(json.dumps(message), flush=True)


def ask(name):
    number = f"q{next(numbers)}"
    answers[number] = queue.Queue()
    say({"id": number, "ask": "token", "client": name})
    answer = answers[number].get()
    if "error" in answer:
        raise Failure("provider", answer["error"])
    return answer["token"]


def tell(name, attempt, wait, reason):
    if "on_retry" in clients[name].options:
        say(
            {
                "id": f"n{next(numbers)}",
                "tell": "retry",
                "client": name,
                "attempt": attempt,
                "wait": wait,
                "reason": reason,
            }
        )
        if clients[name].options["on_retry"] == "throw":
            raise Failure("hook", "the hook failed")


def hello():
    return {"protocol": 1, "level": 2, "client": CLIENT, "capabilities": CAPABILITIES, "max_in_flight": 16}


def score(r, client):
    rows = [[struct.unpack(">d", bytes.fromhex(c))[0] for c in row] for row in r["rows"]]
    reply = client.send(r, "POST", client.uri.path, json.dumps({"data": rows}), "application/json")
    return {"predictions": [struct.pack(">d", float(a)).hex() for a in json.loads(reply)]}


def score_json(r, client):
    return {"json": client.send(r, "POST", client.uri.path, r["json"].encode(), "application/json").decode()}


def score_bytes(r, client):
    media_type = r.get("content_type", "application/octet-stream")
    reply = client.send(r, "POST", client.uri.path, base64.b64decode(r["body"]), media_type)
    return {"body": base64.b64encode(reply).decode()}


def swagger(r, client):
    path = client.uri.path.rpartition("/")[0] + "/swagger.json"
    return {"json": client.send(r, "GET", path, None, None).decode()}


def health(r, client):
    reply = client.send(r, "GET", client.uri.path.rpartition("/")[0] + "/", None, None)
    return {"healthy": b"Healthy" in reply}


def open_(r):
    if r["options"].get("timeout", 1) <= 0:
        raise Failure("argument", "the timeout must be positive")
    clients[r["client"]] = Client(r["client"], r["scoring_uri"], r["options"])
    return {}


def close(r):
    return {}


def cancel(r):
    if r["call"] in cancelled:
        cancelled[r["call"]].set()
    return {}


def call(op, r):
    client = clients[r["client"]] if "client" in r else Client("", r["scoring_uri"], r)
    return {"score": score, "score_json": score_json, "score_bytes": score_bytes, "swagger": swagger, "health": health}[
        op
    ](r, client)


def answer(r):
    reply = {"id": r["id"]}
    try:
        op = r["op"]
        if op == "hello":
            reply["ok"] = hello()
        elif op in ("open", "close", "cancel"):
            reply["ok"] = {"open": open_, "close": close, "cancel": cancel}[op](r)
        elif op in ("score", "score_json", "score_bytes", "swagger", "health"):
            reply["ok"] = call(op, r)
        else:
            reply["unsupported"] = op
    except Failure as failure:
        reply["error"] = failure.reply
    return reply


def main():
    for line in sys.stdin:
        r = json.loads(line)
        if "answer" in r:
            answers[r["id"]].put(r["answer"])
        else:
            threading.Thread(target=lambda r=r: say(answer(r)), daemon=True).start()
