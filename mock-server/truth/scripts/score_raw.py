"""A raw script: it gets the request itself, bytes untouched, and chooses status, headers and body."""

from azureml.contrib.services.aml_request import rawhttp
from azureml.contrib.services.aml_response import AMLResponse
from flask import Response


def init():
    """Nothing to load."""


@rawhttp
def run(request):
    """Answer by method and `?mode=`."""
    if request.method == "GET":
        return AMLResponse("got " + request.full_path, 200)
    if request.method == "OPTIONS":
        return AMLResponse("", 204, {"Access-Control-Allow-Origin": "https://a.example, https://b.example"})
    if request.method != "POST":
        return AMLResponse("bad method " + request.method, 500)
    body = request.get_data(False)
    mode = request.args.get("mode")
    if mode == "418":
        return AMLResponse("short and stout", 418, {"X-Custom": "a, b", "Content-Type": "text/x-tea"})
    if mode == "500":
        return AMLResponse("model said no", 500)
    if mode == "503":
        return AMLResponse({"error": "later"}, 503, {"Retry-After": "7"}, json_str=True)
    if mode == "json":
        return {"len": len(body)}
    if mode == "none":
        return AMLResponse(None, 200)
    if mode == "echo":
        return AMLResponse(body, 200, {"Content-Type": "application/octet-stream"})
    if mode == "raise":
        raise RuntimeError("x")
    if mode == "gen":
        return Response((part for part in [b"one\n", b"two\n", b"three\n"]), mimetype="text/event-stream")
    return AMLResponse(f"{len(body)} bytes, first={body[:4].hex()}", 200)
