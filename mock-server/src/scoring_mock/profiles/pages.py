"""Error pages in HTML that come from a server in front of the application, and carry no ids (W33)."""

from __future__ import annotations

from html import escape

from scoring_mock.http_types import Response, reason_phrase


def gunicorn_page(status: int) -> Response:
    """Return gunicorn's own page, sent when a worker dies while it scores (W33)."""
    reason = reason_phrase(status)
    body = (
        f"<html>\n  <head>\n    <title>{reason}</title>\n  </head>\n  <body>\n    <h1><p>{reason}</p></h1>\n"
        "    \n  </body>\n</html>\n"
    ).encode()
    headers = [("Connection", "close"), ("Content-Type", "text/html"), ("Content-Length", str(len(body)))]
    return Response(status, reason, headers, body, close=True)


def redirect_page(location: str) -> bytes:
    """Return the body of the web framework's redirects."""
    shown = escape(location)
    return (
        "<!doctype html>\n<html lang=en>\n<title>Redirecting...</title>\n<h1>Redirecting...</h1>\n"
        f'<p>You should be redirected automatically to the target URL: <a href="{shown}">{shown}</a>. '
        "If not, click the link.\n"
    ).encode("latin-1")
