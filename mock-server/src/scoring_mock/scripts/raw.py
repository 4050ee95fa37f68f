"""Raw scripts: run() gets the request, bytes untouched, and may choose status, headers and body (W20 W21)."""

from __future__ import annotations

from scoring_mock.scripts.multipart import uploaded_file
from scoring_mock.scripts.raw_request import RawRequest
from scoring_mock.scripts.script import AmlResponse, InputKind, Parameter, Schema, StreamResponse


class RawScript:
    """Says how many bytes came; `?mode=` shows what a raw script can answer.

    The modes: `418` (headers with commas), `500`, `503` (with Retry-After), `json`, `none`, `echo`, `raise`,
    `gen` (a stream).
    """

    kind = "raw"
    takes: InputKind = "raw"
    parameters: tuple[Parameter, ...] = ()
    schema: Schema | None = None

    def run(self, value: RawRequest) -> object:
        """Answer by method and mode."""
        if value.method == "GET":
            return AmlResponse(f"got {value.full_path}", 200)
        if value.method == "OPTIONS":
            origins = "https://a.example, https://b.example"
            return AmlResponse("", 204, {"Access-Control-Allow-Origin": origins})
        if value.method != "POST":
            return AmlResponse(f"bad method {value.method}", 500)
        body = value.body
        match value.args.get("mode"):
            case "418":
                headers = {"X-Custom": "a, b", "Content-Type": "text/x-tea"}
                return AmlResponse("short and stout", 418, headers)
            case "500":
                return AmlResponse("model said no", 500)
            case "503":
                return AmlResponse({"error": "later"}, 503, {"Retry-After": "7"}, json_body=True)
            case "json":
                return {"len": len(body)}
            case "none":
                return AmlResponse(None, 200)
            case "echo":
                return AmlResponse(body, 200, {"Content-Type": "application/octet-stream"})
            case "raise":
                raise RuntimeError("x")
            case "gen":
                return StreamResponse([b"one\n", b"two\n", b"three\n"], "text/event-stream; charset=utf-8")
            case _:
                return AmlResponse(f"{len(body)} bytes, first={body[:4].hex()}", 200)


class RawFormScript:
    """Wants a file named `image` in a multipart form; other bodies are a failure of the script."""

    kind = "raw-form"
    takes: InputKind = "raw"
    parameters: tuple[Parameter, ...] = ()
    schema: Schema | None = None

    def run(self, value: RawRequest) -> object:
        """Return the file's name and size."""
        name, content = uploaded_file(value, "image")
        return {"name": name, "n": len(content)}
