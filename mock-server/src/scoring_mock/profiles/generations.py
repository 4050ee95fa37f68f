"""The two generations of the inference server, as data: versions, ids, and how each failure looks.

`modern` is 1.5.1 as measured, and answers alike since 0.8.1. `legacy` is 0.4.13, read from its source (W07):
the server of the images that the article's document and error shapes come from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from scoring_mock.profiles.call import Call
from scoring_mock.profiles.inputs import Refusal, legacy_input, modern_input
from scoring_mock.profiles.request_ids import Fields, legacy_ids, modern_ids
from scoring_mock.scripts.script import Script

Failure = (
    Refusal
    | Literal[
        "not-found",  # no such path
        "method-not-allowed",  # no such method on the path
        "not-understood",  # a Host that is no name, an upgrade that no path has
        "swagger-not-found",
        "id-too-long",
        "script-failed",
        "script-timeout",
    ]
)
Shape = Literal["message", "string", "text"]
"""`{"message": ...}`, a bare JSON string, or text under `text/html; charset=utf-8`."""

NOT_FOUND_TEXT = (
    "The requested URL was not found on the server. If you entered the URL manually please check your spelling "
    "and try again."
)
NOT_ALLOWED_TEXT = "The method is not allowed for the requested URL."
NOT_UNDERSTOOD_TEXT = "The browser (or proxy) sent a request that this server could not understand."


@dataclass(frozen=True, slots=True)
class ErrorForm:
    """How one failure looks: status, shape of the body, its text (`{}` is the detail), and x-ms-run-function-failed.

    `failed` None: no such header (a page of the web framework, not of the application).
    """

    status: int
    shape: Shape
    text: str = "{}"
    failed: bool | None = False


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation of the inference server."""

    name: Literal["modern", "legacy"]
    # The web server in the image: its Server header, and whether it closes the connection after each reply (W13).
    web_server: str
    closes: bool
    server_version: str | None
    parse_input: Callable[[Script, Call], Any]
    request_ids: Callable[[Mapping[str, str]], tuple[Fields, str | None]]
    errors: Mapping[Failure, ErrorForm]
    # The id headers are on the replies of the router too, not only of the application (W14).
    ids_on_router_errors: bool
    # Cross-origin headers can be configured (W18).
    cors: bool
    # OPTIONS /score is answered 200 (W17), 405 otherwise; raw scripts answer it themselves.
    options_score: bool
    # A script's own answer of 500 or more sets x-ms-run-function-failed.
    marks_server_errors: bool
    # `?version=` chooses a document, and scripts without a schema have one too (W15 W16).
    swagger_versions: bool


MODERN = Generation(
    name="modern",
    web_server="gunicorn",
    closes=True,
    server_version="azmlinfsrv/1.5.1",
    parse_input=modern_input,
    request_ids=modern_ids,
    errors={
        "not-found": ErrorForm(404, "message", NOT_FOUND_TEXT),  # W02
        "method-not-allowed": ErrorForm(405, "message", NOT_ALLOWED_TEXT),  # W14
        "not-understood": ErrorForm(400, "message", NOT_UNDERSTOOD_TEXT),
        "score-method-not-allowed": ErrorForm(405, "message", "Method not allowed"),  # W14
        "swagger-not-found": ErrorForm(
            404, "message", "Swagger version [{}] is not valid. Supported versions: [2, 3, 3.1]."
        ),  # W15
        "id-too-long": ErrorForm(431, "message"),  # W10
        "bad-input": ErrorForm(400, "message"),  # W03
        "unsupported-media-type": ErrorForm(415, "message", "Expects Content-Type to be application/json"),  # W03 W39
        "script-failed": ErrorForm(
            500,
            "message",
            "An unexpected error occurred in scoring script. Check the logs for more info.",
            failed=True,
        ),  # W05 W06
        "script-timeout": ErrorForm(500, "message", "Scoring timeout after {} ms", failed=True),
        "internal": ErrorForm(
            500, "message", "An unexpected internal error occurred. Check the logs for more info."
        ),  # W08
    },
    ids_on_router_errors=False,
    cors=True,
    options_score=True,
    marks_server_errors=True,
    swagger_versions=True,
)


def _page(status: int, name: str, text: str) -> str:
    """Return the web framework's own error page, as of the legacy images."""
    return (
        '<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN">\n'
        f"<title>{status} {name}</title>\n<h1>{name}</h1>\n<p>{text}</p>\n"
    )


LEGACY = Generation(
    name="legacy",
    web_server="nginx/1.10.3 (Ubuntu)",
    closes=False,
    server_version=None,
    parse_input=legacy_input,
    request_ids=legacy_ids,
    errors={
        "not-found": ErrorForm(404, "text", _page(404, "Not Found", NOT_FOUND_TEXT), failed=None),
        "method-not-allowed": ErrorForm(405, "text", _page(405, "Method Not Allowed", NOT_ALLOWED_TEXT), failed=None),
        "not-understood": ErrorForm(400, "text", _page(400, "Bad Request", NOT_UNDERSTOOD_TEXT), failed=None),
        "score-method-not-allowed": ErrorForm(405, "string", "Method not allowed"),  # W17
        "swagger-not-found": ErrorForm(404, "string", "Swagger not found"),  # W16
        "id-too-long": ErrorForm(431, "message"),
        "bad-input": ErrorForm(500, "text", failed=True),
        "unsupported-media-type": ErrorForm(415, "message", "Expects Content-Type to be application/json"),
        "script-failed": ErrorForm(500, "text", failed=True),  # W07: the exception's own text
        "script-timeout": ErrorForm(500, "text", "Scoring timeout after {} ms", failed=True),
        # W07: the genuine text is a whole traceback; the mock's is its first and last line.
        "internal": ErrorForm(
            500,
            "text",
            "An unexpected internal error occurred. Encountered Exception: Traceback (most recent call last):\n{}\n",
        ),
    },
    ids_on_router_errors=True,
    cors=False,
    options_score=False,
    marks_server_errors=False,
    swagger_versions=False,
)

GENERATIONS: dict[str, Generation] = {"modern": MODERN, "legacy": LEGACY}
