"""A client for a model that Azure Machine Learning serves as a web service. One file to copy; it needs urllib3 2.

    with ScoringClient("https://host/score", key=key) as client:
        predictions = client.score([[0.02, 0.05, 0.10], [-0.01, -0.04, 0.06]])

What can be raised:

    ValueError, TypeError   the caller's mistake; nothing was sent
    ScoringError            all else, with the number of attempts and the reason
    ├── ServiceError        the service answered with another status than 2xx
    ├── TransportError      no answer, or not all of it: network, TLS, time
    └── ReplyError          a success status, but no predictions

and, unchanged, whatever a token provider or a retry hook of yours raises.

The network may be tried again, slowness and wrong answers may not. The credential goes into one header and nowhere
else. A wrong answer is never a success. From asyncio: `await asyncio.to_thread(client.score, rows)`.
"""

from __future__ import annotations

import contextlib
import copyreg
import email.utils
import functools
import html
import http.client
import ipaddress
import json
import math
import random
import re
import socket
import ssl
import threading
import time
import traceback
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Collection, Iterable
from concurrent import futures
from dataclasses import dataclass, field
from email.errors import FirstHeaderLineIsContinuationDefect, MissingHeaderBodySeparatorDefect
from pathlib import Path
from typing import Any, NamedTuple, Self, SupportsFloat, TypeVar

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, InvalidHeader, LocationParseError

__all__ = ["AccessToken", "ReplyError", "Retry", "ScoringClient", "ScoringError", "ServiceError", "TransportError"]

_CHUNK_BYTES = 64 * 1024
_ERROR_BODY_BYTES = 64 * 1024
_EXCERPT_CHARACTERS = 300
_POOL_SIZE = 64  # connections kept open; more calls than that at once open and close their own
_LONGEST_SECONDS = 1e6  # sockets refuse a limit above 24 days
_LONGEST_HINT = 999_999_999.0
_AS_IS: dict[str, Any] = dict.fromkeys(("redirect", "assert_same_host", "preload_content", "decode_content"), False)
_T = TypeVar("_T")

# --- Options ---


@dataclass(frozen=True)
class AccessToken:
    """What a token provider returns."""

    token: str = field(repr=False)
    refresh_by: float | None = None
    """When to ask for the next one, in seconds since the epoch. None: only after the service refused this one."""

    def __post_init__(self) -> None:
        """Raise TypeError for a `datetime`: whether it is local time or UTC cannot be seen."""
        if not isinstance(self.refresh_by, (int, float, type(None))):
            raise TypeError(f"refresh_by must be seconds since the epoch, not {type(self.refresh_by).__name__}")


@dataclass(frozen=True)
class Retry:
    """What `on_retry` is told before a wait. Free of secrets."""

    attempt: int
    """Requests sent so far."""
    wait: float
    """Seconds."""
    reason: str
    """What the last attempt came to."""


# --- Client ---


class ScoringClient:
    """Calls one scoring URI. Immutable, safe to share between threads; owns a pool of connections.

    Args:
        scoring_uri: Absolute http or https URI. Its path and query are sent exactly as given (W02).
        key: Key or token, sent as `Authorization: Bearer <key>` (W22). Default: none, and no such header.
        token_provider: Called when a token is needed, in a thread of its own, never twice at the same time; its
            exception reaches the callers that wait. In place of `key`. Default: none.
        timeout: Seconds for a whole call: token, attempts, waits, bodies. Default: 100.
        attempt_timeout: Seconds for one attempt, to the last byte of the reply. Default: 60.
        connect_timeout: Seconds for name look-up, TCP and TLS together. Default: 10.
        max_retries: Attempts after the first. Default: 3.
        base_delay: Seconds before the first retry, doubled for each later one, times a random 0.5 to 1.5. Default: 0.8.
        max_delay: Seconds; no wait is longer. A service that asks for more ends the call. Default: 60.
        retry_statuses: Statuses to repeat. Default: 429, 500, 502, 503; a 500 or 502 of the scoring script itself is
            never repeated (W06), and a 424 is when the model is not ready or busy (W27).
        max_reply_bytes: A success with a larger body is a ReplyError. Default: 64 MiB.
        deployment: The deployment of a managed endpoint that must answer (W30). Default: the endpoint's choice.
        ca_file: PEM file of certificates to trust in place of the system's. Default: the system's.
        proxy: `http://host:port`. Default: the environment's. A loopback host is never proxied.
        allow_insecure_http: Allow a credential over plain http to a host that is not loopback. Default: False.
        on_retry: Called before a wait; what it raises ends the call and reaches the caller. Default: none.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    TLS is 1.2 or later and always verified (W37). Redirects are not followed, netrc is not read, cookies are not kept.
    """

    def __init__(
        self,
        scoring_uri: str,
        *,
        key: str | None = None,
        token_provider: Callable[[], AccessToken] | None = None,
        timeout: float = 100.0,
        attempt_timeout: float = 60.0,
        connect_timeout: float = 10.0,
        max_retries: int = 3,
        base_delay: float = 0.8,
        max_delay: float = 60.0,
        retry_statuses: Collection[int] = (429, 500, 502, 503),
        max_reply_bytes: int = 64 * 1024 * 1024,
        deployment: str | None = None,
        ca_file: str | None = None,
        proxy: str | None = None,
        allow_insecure_http: bool = False,
        on_retry: Callable[[Retry], None] | None = None,
    ) -> None:
        uri = _checked_uri(scoring_uri)
        if key is not None:
            _check_header_text("key", key)
            if token_provider is not None:
                raise ValueError("key and token_provider exclude each other")
        if (key or token_provider) and uri.scheme == "http" and not (allow_insecure_http or _is_loopback(uri.hostname)):
            raise ValueError(
                "a key over plain http to a host that is not loopback: use https, "
                "or allow_insecure_http if the network is trusted"
            )
        if deployment is not None:
            _check_header_text("deployment", deployment)
        self._uri = scoring_uri
        self._key = key
        self._tokens = None if token_provider is None else _TokenCache(token_provider)
        self._timeout = _checked_seconds("timeout", timeout)
        self._attempt_timeout = _checked_seconds("attempt_timeout", attempt_timeout)
        self._connect_timeout = _checked_seconds("connect_timeout", connect_timeout)
        self._max_retries = _checked_count("max_retries", max_retries, 0)
        self._base_delay = _checked_seconds("base_delay", base_delay)
        self._max_delay = _checked_seconds("max_delay", max_delay)
        self._retry_statuses = _checked_statuses(retry_statuses)
        self._max_reply_bytes = _checked_count("max_reply_bytes", max_reply_bytes, 1)
        self._on_retry = on_retry
        self._scoring_headers = {} if deployment is None else {"azureml-model-deployment": deployment}
        self._origin = f"{uri.scheme}://{uri.netloc}"
        self._folder = f"{self._origin}{uri.path.rpartition('/')[0]}/"
        self._lock = threading.Lock()
        self._calls_under_way = 0
        self._is_closed = False
        self._pool, self._target_prefix = _open_pool(uri, ca_file, proxy)
        # Replaced by tests.
        self._sleep: Callable[[float], object] = time.sleep
        self._random: Callable[[], float] = random.random

    def score(self, rows: Iterable[Iterable[SupportsFloat]], *, timeout: float | None = None) -> list[float]:
        """Return one prediction for each row, in the same order.

        Sends `{"data": rows}` (A27) by POST.

        Args:
            rows: Iterables of finite numbers, each sent as a double, bit for bit. How many make a row is the service's
                business.
            timeout: Seconds for this call. It can only shorten the client's own.

        Raises:
            ValueError, TypeError: A cell is no finite number; the text says which.
            ServiceError, TransportError, ReplyError: See the top of this file.
            RuntimeError: The client is closed.
        """
        payload, row_count = _encode_rows(rows)
        return self._post(payload, "application/json", timeout, lambda body: _read_predictions(body, row_count))

    def score_json(self, payload: Any, *, timeout: float | None = None) -> Any:
        """Send any JSON value, return the reply's.

        Args:
            payload: What `json.dumps` takes, but for a text at its top: it would be encoded twice (C04).
            timeout: Seconds for this call. It can only shorten the client's own.

        Raises:
            ValueError, TypeError: The payload is not a JSON value.
            ServiceError, TransportError, ReplyError: See the top of this file.
            RuntimeError: The client is closed.
        """
        if isinstance(payload, (str, bytes, bytearray)):
            kind = type(payload).__name__
            raise TypeError(f"the payload is a {kind}: it would be encoded twice; use json.loads or score_bytes")
        body = json.dumps(payload, allow_nan=False, separators=(",", ":")).encode()
        return self._post(body, "application/json", timeout, _read_json)

    def score_bytes(
        self, body: bytes, content_type: str = "application/octet-stream", *, timeout: float | None = None
    ) -> bytes:
        """Send bytes as they are, return the reply's.

        Args:
            body: For example an image.
            content_type: Its media type (W39).
            timeout: Seconds for this call. It can only shorten the client's own.

        Raises:
            ValueError, TypeError: The body is no bytes, or the content type cannot be sent.
            ServiceError, TransportError, ReplyError: See the top of this file.
            RuntimeError: The client is closed.
        """
        _check_header_text("content type", content_type, " -~")
        payload = bytes(memoryview(body))  # bytes(3) would be three zeros
        return self._post(payload, content_type, timeout, bytes)

    def swagger(self, *, timeout: float | None = None) -> Any:
        """Return the service's OpenAPI document, from `swagger.json` beside the scoring URI (C52).

        Raises:
            ServiceError, TransportError, ReplyError: See the top of this file. A service without one answers 404.
            RuntimeError: The client is closed.
        """
        return self._get("swagger.json", timeout, self._max_retries, _read_json)

    def is_healthy(self, *, timeout: float | None = None) -> bool:
        """Return whether the service's root says `Healthy` (C51). One attempt.

        Raises:
            TransportError: There was no answer.
            RuntimeError: The client is closed.
        """
        try:
            body = self._get("", timeout, 0, bytes)
        except (ServiceError, ReplyError):
            return False
        return body.removeprefix(b"\xef\xbb\xbf").strip(b" \t\r\n") in (b"Healthy", b'"Healthy"')

    def close(self) -> None:
        """Release the connections. Calls under way go on to their end; later ones raise RuntimeError."""
        with self._lock:
            self._is_closed = True
            self._close_if_idle()

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the client."""
        self.close()

    def __repr__(self) -> str:
        """Show neither key nor query."""
        return f"ScoringClient({_without_query(self._uri)!r})"

    # --- Sending ---

    def _post(self, body: bytes, content_type: str, timeout: float | None, read: Callable[[bytearray], _T]) -> _T:
        headers = {"Content-Type": content_type, **self._scoring_headers}
        return self._run(_Call("POST", self._uri, self._limit(timeout), body, headers), self._max_retries, read)

    def _get(self, name: str, timeout: float | None, max_retries: int, read: Callable[[bytearray], _T]) -> _T:
        return self._run(_Call("GET", self._folder + name, self._limit(timeout)), max_retries, read)

    def _limit(self, timeout: float | None) -> float:
        return self._timeout if timeout is None else min(self._timeout, _checked_seconds("timeout", timeout))

    def _run(self, call: _Call, max_retries: int, read: Callable[[bytearray], _T]) -> _T:
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the client is closed")
            self._calls_under_way += 1
        try:
            return self._repeat(call, max_retries, read)
        finally:
            with self._lock:
                self._calls_under_way -= 1
                self._close_if_idle()

    def _close_if_idle(self) -> None:
        if self._is_closed and self._calls_under_way == 0:
            self._pool.close()

    def _repeat(self, call: _Call, max_retries: int, read: Callable[[bytearray], _T]) -> _T:
        """Make attempts until one is a success, and return its value; raise what the last one came to."""
        retries = 0
        refused: str | None = None  # the token that the service answered with a 401
        credential = self._credential(call, refused)
        while True:
            try:
                return self._attempt(call, credential, read)
            except ScoringError as error:
                is_refusal = isinstance(error, ServiceError) and error.status == 401
                if is_refusal and self._tokens is not None and refused is None:
                    refused = credential
                    credential = self._credential(call, refused)
                    if credential != refused:
                        continue  # at once, and not counted as a retry (B25)
                hint = error.retry_after if isinstance(error, ServiceError) else None
                wait = max(hint or 0.0, back_off(retries, self._base_delay, self._max_delay, self._random()))
                is_last = retries >= max_retries or wait > self._max_delay or wait >= call.left()
                if is_last or not should_repeat(error, self._retry_statuses):
                    raise
                if self._on_retry is not None:
                    self._on_retry(Retry(call.attempts, wait, error.reason))
            self._sleep(min(wait, max(0.0, call.left())))  # a hook takes time too
            retries += 1
            credential = self._credential(call, refused)

    def _credential(self, call: _Call, refused: str | None) -> str | None:
        return self._key if self._tokens is None else self._tokens.get(call, refused)

    def _attempt(self, call: _Call, credential: str | None, read: Callable[[bytearray], _T]) -> _T:
        """Make one attempt, which ends in time wherever it is: return the value of a success, raise all else."""
        headers = {"Accept-Encoding": "identity", **call.headers, "x-ms-client-request-id": call.client_request_id}
        if credential is not None:
            headers["Authorization"] = f"Bearer {credential}"
            call.credentials.add(credential)
        now = time.monotonic()
        whole = min(_Limit(call.deadline, call.limit), _Limit(now + self._attempt_timeout, self._attempt_timeout))
        connecting = min(whole, _Limit(now + self._connect_timeout, self._connect_timeout))
        if whole.deadline <= now:
            raise call.transport_error(f"no complete reply within {whole.seconds:g} s", timed_out=True)
        path = call.url[len(self._origin) :]
        _current.target = self._target_prefix + (path if path.startswith("/") else f"/{path}")
        _current.whole, _current.connecting, _current.stage = whole, connecting, _WAITING
        call.attempts += 1
        try:
            response = self._pool.urlopen(call.method, _current.target, call.body, headers, **_AS_IS)
            with contextlib.closing(response):  # and its connection, unless the reply was read to its end
                return self._receive(call, response, read)
        except HTTPError as error:
            raise call.transport_error(*_explain(error)) from call.fit_to_print(error)

    def _receive(self, call: _Call, response: urllib3.BaseHTTPResponse, read: Callable[[bytearray], _T]) -> _T:
        is_success = 200 <= response.status <= 299
        encoding = _first(response.headers, "Content-Encoding")
        if is_success and encoding.lower() not in ("", "identity"):
            raise call.reply_error(f"the reply has Content-Encoding: {encoding}, which was not asked for")
        limit = self._max_reply_bytes if is_success else _ERROR_BODY_BYTES
        body = bytearray()
        _current.stage = _READING
        try:  # what follows a 101 is not HTTP
            while response.status != 101 and len(body) <= limit and (chunk := response.read1(_CHUNK_BYTES)):
                body += chunk
        except HTTPError:  # the status of an error is known, whatever becomes of its body (B50)
            if is_success:
                raise
        if not is_success:
            raise call.service_error(response, bytes(body[:limit]))
        if len(body) > limit:
            raise call.reply_error(f"the reply is larger than {limit} bytes", body[:limit])
        try:
            return read(body)
        except _WrongReply as wrong:
            raise call.reply_error(str(wrong), body) from None


# --- What is repeated ---


def should_repeat(error: ScoringError, retry_statuses: Collection[int]) -> bool:
    """Return whether another attempt may come to something else (B40-B47)."""
    match error:
        case TransportError():
            return error._network
        case ServiceError(status=424, model_reason="model_not_ready" | "too_few_model_instance"):
            return True
        case ServiceError(status=424, model_status=429):
            return True
        case ServiceError(status=500 | 502, run_function_failed=True):
            return False  # the same input fails again (W06)
        case ServiceError():
            return error.status in retry_statuses
        case _:  # a wrong reply would come again
            return False


def back_off(retry: int, base_delay: float, max_delay: float, random_number: float) -> float:
    """Return the seconds to wait before a retry, the first being number 0, for a random number from 0 to 1 (B48)."""
    delay = min(max_delay, base_delay * 2.0 ** min(retry, 60))
    return min(max_delay, delay * (0.5 + random_number))


def retry_hint(headers: urllib3.HTTPHeaderDict, now: float) -> float | None:
    """Return the seconds that the service asks to wait, or None (B49, C41).

    Args:
        headers: Of the reply.
        now: Seconds since the epoch, for a `Retry-After` that is a date.
    """
    for name, unit in (("retry-after-ms", 0.001), ("x-ms-retry-after-ms", 0.001), ("Retry-After", 1.0)):
        text = _first(headers, name)
        if re.fullmatch("[0-9]+", text):
            number = float(text)
            return number * unit if number <= _LONGEST_HINT else _LONGEST_HINT
        if unit == 1.0 and (date := _http_date(text)) is not None:
            return min(_LONGEST_HINT, max(0.0, date - now))
    return None


def _first(headers: urllib3.HTTPHeaderDict, name: str) -> str:
    """Return the first line of a header, empty where there is none."""
    return next(iter(headers.getlist(name)), "").strip(" \t")


def _http_date(text: str) -> float | None:
    """Read an IMF-fixdate, the one form of a date that is still sent, as seconds since the epoch."""
    if not re.fullmatch(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", text, re.ASCII):
        return None
    if text[12:14] == "00":  # email.utils would read 0030 as 2030
        return 0.0
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None


# --- The credential ---


class _TokenCache:
    """The token of a provider, fetched once for all who need it (C14)."""

    def __init__(self, provider: Callable[[], AccessToken]) -> None:
        self._provider = provider
        self._lock = threading.Lock()
        self._token: AccessToken | None = None
        self._fetch: futures.Future[AccessToken] | None = None  # under way

    def get(self, call: _Call, refused: str | None) -> str:
        """Return a token that is fresh and was not refused, or the same one if the provider returns it again."""
        with self._lock:
            self._drop(refused)
            token = self._token
            if token is not None and (token.refresh_by is None or time.time() < token.refresh_by):
                return token.token
            if self._fetch is None:
                self._fetch = _in_thread(self._renew)
            fetch = self._fetch
        futures.wait([fetch], call.left())
        if not fetch.done():
            raise call.transport_error(f"no token within {call.limit:g} s", timed_out=True)
        token = fetch.result()
        with self._lock:
            self._drop(refused)  # it came again
        return token.token

    def _drop(self, refused: str | None) -> None:
        if self._token is not None and self._token.token == refused:
            self._token = None

    def _renew(self) -> AccessToken:
        try:
            token = self._provider()
            if not isinstance(token, AccessToken):
                raise TypeError(f"the token provider must return an AccessToken, not {type(token).__name__}")
            _check_header_text("token", token.token)
        except BaseException:
            with self._lock:
                self._fetch = None
                if self._token is None:
                    raise
                return self._token  # which is merely due
        with self._lock:
            self._fetch, self._token = None, token
        return token


def _in_thread(work: Callable[[], _T]) -> futures.Future[_T]:
    """Do blocking work in a thread of its own, which does not keep the program from ending."""
    future: futures.Future[_T] = futures.Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


# --- What one attempt came to ---


@dataclass
class _Call:
    """What the attempts of one call have in common."""

    method: str
    url: str
    limit: float
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    client_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    attempts: int = 0
    credentials: set[str] = field(default_factory=set)
    """Those that were used, to be hidden in texts."""

    def __post_init__(self) -> None:
        self.deadline = time.monotonic() + self.limit
        self._spellings = functools.cache(_spellings)

    def left(self) -> float:
        return self.deadline - time.monotonic()

    def transport_error(self, reason: str, network: bool = False, timed_out: bool = False) -> TransportError:
        reason = self._excerpt(reason)
        text = self._text(reason)
        return TransportError(text, attempts=self.attempts, reason=reason, timed_out=timed_out, _network=network)

    def service_error(self, response: urllib3.BaseHTTPResponse, body: bytes) -> ServiceError:
        def header(name: str) -> str | None:
            return self._hide(_first(response.headers, name)) or None

        message = self._hide(_service_message(body))
        excerpt = self._excerpt(message)
        reason = f"{response.status}: {excerpt}" if excerpt else f"{response.status}"
        request_id = header("x-request-id") or header("x-ms-request-id")
        model_status = header("ms-azureml-model-error-statuscode") or ""
        return ServiceError(
            self._text(reason, request_id),
            attempts=self.attempts,
            reason=reason,
            status=response.status,
            message=message,
            body=body,
            request_id=request_id,
            client_request_id=self.client_request_id,
            retry_after=retry_hint(response.headers, time.time()),
            model_status=int(model_status) if re.fullmatch("[0-9]{3}", model_status) else None,
            model_reason=header("ms-azureml-model-error-reason"),
            run_function_failed=_first(response.headers, "x-ms-run-function-failed").lower() == "true",
        )

    def reply_error(self, reason: str, body: bytes | bytearray = b"") -> ReplyError:
        reason = self._excerpt(reason)
        excerpt = self._excerpt(body[:_ERROR_BODY_BYTES].decode(errors="replace"))
        text = self._text(f"{reason}: {excerpt}" if excerpt else reason)
        return ReplyError(text, attempts=self.attempts, reason=reason, excerpt=excerpt)

    def fit_to_print(self, error: HTTPError) -> HTTPError | None:
        """Return the error, or None when its traceback quotes a service that sent the credential back."""
        trace = "".join(traceback.format_exception(error))
        return error if trace == self._hide(trace) else None

    def _text(self, what: str, request_id: str | None = None) -> str:
        plural = "" if self.attempts == 1 else "s"
        shown_id = f", request id {self._excerpt(request_id)}" if request_id else ""
        return f"{self.method} {_without_query(self.url)}: {what} ({self.attempts} attempt{plural}{shown_id})"

    def _excerpt(self, text: str) -> str:
        """Return the beginning of a text from outside, fit for a log: one line, without the credential."""
        text = self._hide(text)
        if len(text) > _EXCERPT_CHARACTERS:
            text = text[: _EXCERPT_CHARACTERS - 1] + "…"
        return _UNPRINTABLE.sub(" ", text).strip()

    def _hide(self, text: str) -> str:
        """Replace credentials by ***, and the beginning of one at the end of the text, where it may have been cut."""
        for credential in sorted(self.credentials, key=len, reverse=True):
            text = self._spellings(credential).sub("***", text)
            lengths = range(len(credential) - 1, 3, -1)
            text = next((text[:-n] + "***" for n in lengths if text.endswith(credential[:n])), text)
        return text


def _spellings(credential: str) -> re.Pattern[str]:
    """Return what finds a credential, also where JSON escapes part of it."""
    return re.compile("".join(rf"(?:\\?{re.escape(c)}|\\u00(?i:{ord(c):02x}))" for c in credential))


# What may begin a line, move a cursor or turn the direction of a text.
_UNPRINTABLE = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def _explain(error: HTTPError) -> tuple[str, bool, bool]:
    """Return what happened in words, whether it was the network, which may be tried again, and whether time ran out."""
    root = _root(error)
    if isinstance(root, TimeoutError):
        if _current.stage == _CONNECTING:
            return f"no connection within {_current.connecting.seconds:g} s", True, True
        return f"no complete reply within {_current.whole.seconds:g} s", False, True
    text = getattr(root, "strerror", None) or str(root)
    if refusal := re.match("Tunnel connection failed: ([0-9]{3})", text):  # by http.client
        return f"the proxy refused the tunnel: {refusal[1]}", False, False
    if isinstance(root, http.client.LineTooLong) or type(root) is http.client.HTTPException:  # 64 KiB, 100 lines
        return "the headers of the reply are too large", False, False
    for kinds, words in _WORDS:
        if isinstance(root, kinds):
            return words, True, False
    if isinstance(root, ssl.SSLError) and _current.stage != _READING:
        return f"TLS failed: {text}", False, False
    return text, True, False


_WORDS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    ((socket.gaierror, LocationParseError), "the host name cannot be resolved"),
    (ConnectionRefusedError, "connection refused"),
    (http.client.RemoteDisconnected, "the connection was closed before the reply"),
    (http.client.IncompleteRead, "the reply was cut off"),
    (ConnectionError, "the connection was reset"),
    ((ssl.SSLEOFError, ssl.SSLZeroReturnError), "the connection was closed inside TLS"),
    ((http.client.HTTPException, InvalidHeader), "the reply is not valid HTTP"),
)


def _root(error: BaseException) -> BaseException:
    """Return what urllib3 wrapped in an error: its last argument or its cause."""
    last = error.args[-1] if error.args else None
    inner = last if isinstance(last, BaseException) else error.__cause__
    return error if inner is None else _root(inner)


# --- Errors ---


@dataclass(eq=False, repr=False)
class ScoringError(Exception):
    """A call that failed for another reason than its arguments. The text is one line, without key and query."""

    text: str
    attempts: int
    """Requests sent."""
    reason: str
    """The middle of the text: what the last attempt came to."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without calling __init__, which needs more than the text."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


@dataclass(eq=False, repr=False, kw_only=True)
class ServiceError(ScoringError):
    """The service answered with another status than 2xx (C30, C31)."""

    status: int
    message: str
    """The service's own words from any shape of body (W45), or empty."""
    body: bytes
    """As it came, at most 64 KiB. It may hold what must not be printed."""
    request_id: str | None
    """The service's id of the request, for its logs and for support."""
    client_request_id: str
    """Our id of the call (C39)."""
    retry_after: float | None
    """Seconds that the service asked to wait (C41)."""
    model_status: int | None
    """The status of the model behind a 424 (W27)."""
    model_reason: str | None
    """Why the service answered 424 or 429 (W27, W29, W31)."""
    run_function_failed: bool
    """The scoring script itself failed (W06)."""


@dataclass(eq=False, repr=False, kw_only=True)
class TransportError(ScoringError):
    """No answer came, or not all of it. `__cause__` is what urllib3 said."""

    timed_out: bool
    """A time limit passed. The model may still be at work (C40)."""
    _network: bool
    """The network failed, which may be tried again."""


@dataclass(eq=False, repr=False, kw_only=True)
class ReplyError(ScoringError):
    """The service said success, but its body is not one finite number for each row (C31-C35)."""

    excerpt: str
    """The beginning of the body, fit for a log, at most 300 characters."""


# --- Arguments ---


def _checked_uri(text: str) -> urllib.parse.SplitResult:
    if not isinstance(text, str):
        raise TypeError(f"the scoring URI must be a str, not {type(text).__name__}")
    if found := re.search(r"[^!-~]|[\"<>\\^`{|}]", text):
        where = f"at position {found.start()} (a trailing newline?)"
        raise ValueError(f"the scoring URI has a character that no URI can have {where}")
    try:
        uri = urllib.parse.urlsplit(text)
        is_absolute = uri.scheme in ("http", "https") and bool(uri.hostname) and uri.port != 0
    except ValueError:  # a port or an IPv6 address that is none
        is_absolute = False
    if not is_absolute or "%" in uri.netloc or re.search("%(?![0-9A-Fa-f]{2})", text):
        raise ValueError("the scoring URI must be an absolute http or https URI")
    needless = re.search("(?i)%(2[DE]|3[0-9]|4[1-9A-F]|5[0-9AF]|6[1-9A-F]|7[0-9AE])", text)
    for is_there, what in (
        ("@" in uri.netloc, "user info"),
        ("#" in text, "a fragment"),
        ({".", ".."} & set(uri.path.split("/")), "dot segments"),
        (needless, f"needless percent escapes ({needless and needless[0]})"),
    ):
        if is_there:
            raise ValueError(f"the scoring URI must not contain {what}")
    return uri


def _check_header_text(name: str, text: str, allowed: str = "!-~") -> None:
    if not isinstance(text, str):
        raise TypeError(f"the {name} must be a str, not {type(text).__name__}")
    if not text:
        raise ValueError(f"the {name} is empty")
    if found := re.search(f"^ |[^{allowed}]| $", text):
        hint = " (a trailing newline?)" if name in ("key", "token") else ""
        raise ValueError(
            f"the {name} has a character that cannot be sent in a header at position {found.start()}{hint}"
        )


def _checked_count(name: str, value: int, least: int) -> int:
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number above {least - 1}")
    return value


def _checked_statuses(statuses: Collection[int]) -> frozenset[int]:
    for status in statuses:
        if not isinstance(status, int) or not 400 <= status <= 599:
            raise ValueError(f"retry_statuses: {status} is not between 400 and 599")
    return frozenset(statuses)


def _without_query(uri: str) -> str:
    return uri.partition("?")[0]


def _checked_seconds(name: str, value: float) -> float:
    if not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a finite number of seconds above 0")
    return min(value, _LONGEST_SECONDS)


def _is_loopback(host: str | None) -> bool:
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return host == "localhost"
    return address.is_loopback


# --- Bodies ---


def _encode_rows(rows: Iterable[Iterable[SupportsFloat]]) -> tuple[bytes, int]:
    """Return the body to send, and how many rows it has."""
    data = []
    for index, row in enumerate(rows):
        if not isinstance(row, Iterable):
            raise TypeError(f"row {index} is of type {type(row).__name__}, not a row of numbers")
        cells = list(row)
        if set(map(type, cells)) != {float} or not all(map(math.isfinite, cells)):
            cells = [_number(cell, index, column) for column, cell in enumerate(cells)]
        data.append(cells)
    return json.dumps({"data": data}, separators=(",", ":")).encode(), len(data)


def _number(cell: SupportsFloat, row: int, column: int) -> float:
    where = f"row {row}, column {column}"
    try:
        if math.isfinite(cell):  # unlike float(), refuses text
            return float(cell)
    except TypeError:
        raise TypeError(f"{where} is of type {type(cell).__name__}, not a number") from None
    except OverflowError:
        raise ValueError(f"{where} is too large for a double") from None
    raise ValueError(f"{where} is {'NaN' if math.isnan(cell) else 'Infinity'}: JSON has no such number")


class _WrongReply(Exception):
    """The body of a success is not what was asked for; the text says why."""


def _read_predictions(body: bytearray, row_count: int) -> list[float]:
    value = _read_json(body, parse_int=float)
    if not isinstance(value, list):
        detail = "; the scoring script probably calls json.dumps itself" if isinstance(value, str) else ""
        if isinstance(value, dict) and (error := _json_message({"error": value.get("error")})):
            detail = f": {error}"
        raise _WrongReply(f"the reply is a JSON {_json_type(value)}, not an array{detail}")
    for index, element in enumerate(value):
        if type(element) is not float:
            raise _WrongReply(f"element {index} of the reply is a JSON {_json_type(element)}, not a number")
        if not math.isfinite(element):  # 1e400
            raise _WrongReply(f"element {index} of the reply is not a finite number")
    if len(value) != row_count:
        raise _WrongReply(f"the reply has {len(value)} predictions for {row_count} rows")
    return value


def _read_json(body: bytearray, parse_int: Callable[[str], float] = int) -> Any:
    """Return any JSON value. JSON is UTF-8 whatever a charset says (C32)."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _WrongReply("the reply is not valid UTF-8") from None
    if not text.strip(" \t\r\n"):
        raise _WrongReply("the reply is empty")
    try:
        return json.loads(text, parse_int=parse_int, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise _WrongReply("the reply is not JSON") from None


def _refuse_constant(_: str) -> float:
    raise _WrongReply("the reply contains NaN or Infinity, which is not JSON")  # json.dumps writes them (W09)


def _json_type(value: object) -> str:
    names = {bool: "boolean", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _service_message(body: bytes) -> str:
    """Find the service's own words in any body of an error (W45)."""
    text = body.decode("utf-8-sig", errors="replace").strip()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        message = text
        if re.match(r"(?i)<(!doctype|html|head|body)\b", text):
            title = re.search(r"(?is)<title[^>]*>(.*?)</title>", text)
            message = " ".join(html.unescape(title[1]).split()) if title else ""
    else:
        message = _json_message(value)
    return message.encode(errors="replace").decode()  # an escaped lone surrogate cannot be printed


def _json_message(value: object) -> str:
    candidates = [value]
    if isinstance(value, dict):
        error = value.get("error")
        error_message = error.get("message") if isinstance(error, dict) else None
        candidates = [value.get("message"), error_message, error, value.get("detail")]
    return next((text for text in candidates if isinstance(text, str) and text.strip()), "")


# --- Connections ---
#
# urllib3 limits each wait for bytes, not their sum: a reply that drips may last for ever. Here every wait ends by the
# attempt's deadline, from the name look-up to the last byte. Internals that are overridden: `_new_conn` of urllib3,
# `_read_status` of http.client.

_CONNECTING, _WAITING, _READING = range(3)  # the stages of an attempt


class _Limit(NamedTuple):
    deadline: float  # of time.monotonic
    seconds: float  # as the user said it


class _Attempt(threading.local):
    """The attempt under way in this thread."""

    target: str
    whole: _Limit
    connecting: _Limit
    stage: int

    def left(self) -> float:
        limit = self.connecting if self.stage == _CONNECTING else self.whole
        left = limit.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("time is up")
        return left


_current = _Attempt()


class _Socket(socket.socket):
    """Looks at the attempt's deadline before every wait."""

    def recv_into(self, *args: Any) -> int:
        self.settimeout(_current.left())
        count = super().recv_into(*args)
        if count == 0 and _current.stage == _WAITING:
            raise http.client.RemoteDisconnected("inside the headers")  # which http.client would take for whole
        return count

    def send(self, *args: Any) -> int:
        self.settimeout(_current.left())
        try:
            return super().send(*args)
        except ssl.SSLEOFError as error:
            raise BrokenPipeError from error  # urllib3 then reads the reply that the service sent before it closed

    def sendall(self, *args: Any) -> None:
        self.settimeout(_current.left())
        super().sendall(*args)


class _TLSSocket(_Socket, ssl.SSLSocket):
    pass


class _Response(http.client.HTTPResponse):
    """Skips every interim reply and refuses a broken header block: http.client would take them for the reply."""

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200 or status == 101:
                return version, status, reason
            while self.fp.readline(64 * 1024 + 1) not in (b"\r\n", b"\n", b""):
                pass

    def begin(self) -> None:
        super().begin()
        broken = (MissingHeaderBodySeparatorDefect, FirstHeaderLineIsContinuationDefect)
        if any(isinstance(defect, broken) for defect in self.msg.defects):
            raise http.client.BadStatusLine("broken header block")


class _Connection(HTTPConnection):
    response_class = _Response

    def connect(self) -> None:
        _current.stage = _CONNECTING
        super().connect()
        _current.stage = _WAITING

    def _new_conn(self) -> socket.socket:
        self.timeout = _current.left()
        # In a thread, because getaddrinfo knows no time limit.
        made = _in_thread(lambda: _Socket(fileno=super(_Connection, self)._new_conn().detach()))
        try:
            sock = made.result(_current.left())
            sock.settimeout(_current.left())  # for the handshake
        except BaseException:
            made.add_done_callback(_close_late)
            raise
        return sock

    def putrequest(self, method: str, url: str, skip_host: bool = False, skip_accept_encoding: bool = False) -> None:
        del url  # urllib3 wrote %2F in it where the caller wrote %2f
        super().putrequest(method, _current.target, skip_host, skip_accept_encoding)


def _close_late(made: futures.Future[_Socket]) -> None:
    if made.exception() is None:
        made.result().close()


class _TLSConnection(_Connection, HTTPSConnection):
    pass


def _trust(ca_file: str | None) -> ssl.SSLContext:
    try:
        # What is not ASCII is a comment; an empty text would be none.
        pem = None if ca_file is None else Path(ca_file).read_text("ascii", "ignore") or "\n"
        tls = ssl.create_default_context(cadata=pem)
    except ssl.SSLError:
        raise ValueError("the CA file holds no certificate") from None
    except OSError as error:
        raise ValueError(f"the CA file cannot be read: {error.strerror}") from None
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    tls.sslsocket_class = _TLSSocket
    return tls


def _open_pool(
    uri: urllib.parse.SplitResult, ca_file: str | None, proxy_option: str | None
) -> tuple[urllib3.HTTPConnectionPool, str]:
    """Return the pool, and what stands before a request target: the origin where a proxy forwards plain http."""
    proxy = _proxy(uri, proxy_option)
    tls = _trust(ca_file) if ca_file is not None or "https" in (uri.scheme, proxy and proxy.scheme) else None
    options: dict[str, Any] = {"maxsize": _POOL_SIZE, "retries": False, "ssl_context": tls}
    if proxy is None:
        manager = urllib3.PoolManager(**options)
    else:
        headers = urllib3.make_headers(proxy_basic_auth=urllib.parse.unquote(proxy.auth or ""))
        manager = urllib3.ProxyManager(proxy.url, proxy_headers=headers, proxy_ssl_context=tls, **options)
    pool = manager.connection_from_host(uri.hostname, uri.port, uri.scheme)
    pool.ConnectionCls = _TLSConnection if uri.scheme == "https" else _Connection
    return pool, f"http://{uri.netloc}" if proxy is not None and uri.scheme == "http" else ""


def _proxy(uri: urllib.parse.SplitResult, option: str | None) -> urllib3.util.Url | None:
    """Return the proxy to use: the option's, else the environment's, and none for loopback."""
    if option is not None:
        host_and_port = r"http://([A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\]):([0-9]{1,5})/?"
        found = re.fullmatch(host_and_port, option) if isinstance(option, str) else None
        if not found or not 0 < int(found[2]) < 65536:
            raise ValueError("the proxy must be http://host:port")
    proxies = urllib.request.getproxies()
    text = option or proxies.get(uri.scheme) or proxies.get("all")
    if not text or _is_loopback(uri.hostname) or (not option and urllib.request.proxy_bypass(uri.netloc)):
        return None
    try:
        proxy = urllib3.util.parse_url(text if "://" in text else f"http://{text}")
    except ValueError:
        proxy = urllib3.util.Url()
    if proxy.scheme not in ("http", "https") or not proxy.host:
        raise ValueError("the proxy in the environment must be an http or https URL")  # it may hold a password
    return proxy
