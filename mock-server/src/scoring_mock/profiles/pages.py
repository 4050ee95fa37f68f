"""Error pages in HTML that come from a server in front of the application, and carry no ids (W33)."""

from __future__ import annotations

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
