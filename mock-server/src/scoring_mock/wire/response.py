"""From a `Response` to bytes, and the error page for what no service ever sees."""

from __future__ import annotations

from scoring_mock.http_types import Headers, Response, reason_phrase
from scoring_mock.wire.parser import ParseError

LAST_CHUNK = b"0\r\n"


def field_lines(headers: Headers) -> str:
    """Return header or trailer fields, each with its line end."""
    return "".join([f"{name}: {value}\r\n" for name, value in headers])


def head_bytes(response: Response) -> bytes:
    """Return status line and header section."""
    return (f"{response.version} {response.status} {response.reason}\r\n{field_lines(response.headers)}\r\n").encode(
        "latin-1", "replace"
    )


def chunk_bytes(chunk: bytes) -> bytes:
    """Return one chunk with its size line."""
    return b"%x\r\n%b\r\n" % (len(chunk), chunk)


def body_pieces(response: Response) -> list[bytes]:
    """Return the body as it goes onto the wire, in pieces that belong together."""
    if response.chunks is None:
        return [response.body] if response.body else []
    pieces = [chunk_bytes(chunk) for chunk in response.chunks if chunk]
    pieces.append(LAST_CHUNK + field_lines(response.trailers).encode("latin-1", "replace") + b"\r\n")
    return pieces


def whole_bytes(response: Response) -> bytes:
    """Return the whole reply."""
    if response.chunks is None:
        return head_bytes(response) + response.body
    return head_bytes(response) + b"".join(body_pieces(response))


def interim_bytes(status: int, headers: Headers) -> bytes:
    """Return a 1xx reply."""
    return f"HTTP/1.1 {status} {reason_phrase(status)}\r\n{field_lines(headers)}\r\n".encode("latin-1", "replace")


def error_page(error: ParseError) -> Response:
    """Return gunicorn's page for a request that it refuses to read (W33): HTML, Title-Case reason, no ids."""
    from html import escape  # a table that a start can do without

    text = (
        f"<html>\n  <head>\n    <title>{error.reason}</title>\n  </head>\n  <body>\n"
        f"    <h1><p>{error.reason}</p></h1>\n    {escape(error.message)}\n  </body>\n</html>\n"
    )
    body = text.encode("latin-1", "replace")
    return Response(
        status=error.status,
        reason=error.reason,
        headers=[("Connection", "close"), ("Content-Type", "text/html"), ("Content-Length", str(len(body)))],
        body=body,
        close=True,
        source="front-end",
    )
