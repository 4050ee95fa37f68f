"""A client for a model that Azure Machine Learning serves as a web service. One file to copy; it needs urllib3 2.

    with ScoringClient("https://host/score", key=key) as client:
        predictions = client.score([[0.02, 0.05, 0.10], [-0.01, -0.04, 0.06]])

What can be raised:

    ValueError, TypeError   the caller's mistake; nothing was sent
    ScoringError            all else, with the number of attempts
    ├── ServiceError        the service answered with another status than 2xx
    ├── TransportError      no answer, or not all of it: network, TLS, time
    └── ReplyError          a success status, but no predictions

and, unchanged, whatever a token provider or a retry hook of yours raises.

The network may be tried again, slowness and wrong answers may not. The credential goes into one header and nowhere
else. A wrong answer is never a success. From asyncio: `await asyncio.to_thread(client.score, rows)`.
"""

from __future__ import annotations

import copyreg
import email.utils
import html
import http.client
import io
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
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from email.errors import FirstHeaderLineIsContinuationDefect, MissingHeaderBodySeparatorDefect
from pathlib import Path
from types import TracebackType
from typing import Any, Self, SupportsFloat, TypeVar, cast

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ProxyError

__all__ = ["AccessToken", "ReplyError", "Retry", "ScoringClient", "ScoringError", "ServiceError", "TransportError"]

_CHUNK_BYTES = 64 * 1024
_ERROR_BODY_BYTES = 64 * 1024
_EXCERPT_CHARACTERS = 300
_POOL_SIZE = 64  # connections kept open; more calls than that at once open and close their own
_LONGEST_SECONDS = 1e6  # sockets refuse a limit above 24 days
_LONGEST_HINT = 999_999_999.0
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
            _check_credential("key", key)
            if token_provider is not None:
                raise ValueError("key and token_provider exclude each other")
        has_credential = key is not None or token_provider is not None
        if has_credential and uri.scheme == "http" and not (allow_insecure_http or _is_loopback(uri.hostname)):
            raise ValueError(
                "a key over plain http to a host that is not loopback: use https, "
                "or allow_insecure_http if the network is trusted"
            )
        if deployment is not None:
            _check_header_text("deployment", deployment, "!-~")
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
        self._call_headers = {} if deployment is None else {"azureml-model-deployment": deployment}
        self._origin = f"{uri.scheme}://{uri.netloc}"
        self._folder = f"{self._origin}{uri.path.rpartition('/')[0]}/"
        self._lock = threading.Lock()
        self._calls_under_way = 0
        self._is_closed = False
        self._pool, self._target_prefix = _open_pool(uri, self._connect_timeout, ca_file, proxy)
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
        try:
            body = json.dumps(payload, allow_nan=False, separators=(",", ":")).encode()
        except RecursionError:
            raise ValueError("the payload is nested too deeply") from None
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
        if not isinstance(body, (bytes, bytearray, memoryview)):
            raise TypeError(f"the body must be bytes, not {type(body).__name__}")
        _check_header_text("content type", content_type, " -~")
        return self._post(bytes(body), content_type, timeout, bytes)

    def swagger(self, *, timeout: float | None = None) -> Any:
        """Return the service's OpenAPI document, from `swagger.json` beside the scoring URI (C52).

        Raises:
            ServiceError, TransportError, ReplyError: See the top of this file. A service without one answers 404.
            RuntimeError: The client is closed.
        """
        return self._run(self._call("GET", "swagger.json", timeout=timeout), self._max_retries, _read_json)

    def is_healthy(self, *, timeout: float | None = None) -> bool:
        """Return whether the service's root says `Healthy` (C51). One attempt.

        Raises:
            TransportError: There was no answer.
            RuntimeError: The client is closed.
        """
        try:
            body = self._run(self._call("GET", "", timeout=timeout), 0, bytes)
        except (ServiceError, ReplyError):
            return False
        return body.strip() in (b"Healthy", b'"Healthy"')

    def close(self) -> None:
        """Release the connections. Calls under way go on to their end; later ones raise RuntimeError."""
        with self._lock:
            self._is_closed = True
            is_idle = self._calls_under_way == 0
        if is_idle:
            self._pool.close()

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the client."""
        self.close()

    def __repr__(self) -> str:
        """Show neither key nor query."""
        return f"ScoringClient({_without_query(self._uri)!r})"

    # --- Sending ---

    def _post(self, body: bytes, content_type: str, timeout: float | None, read: Callable[[bytes], _T]) -> _T:
        headers = {"Content-Type": content_type, **self._call_headers}
        return self._run(self._call("POST", None, body, headers, timeout), self._max_retries, read)

    def _call(
        self,
        method: str,
        beside: str | None,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        timeout: float | None = None,
    ) -> _Call:
        limit = self._timeout if timeout is None else min(self._timeout, _checked_seconds("timeout", timeout))
        url = self._uri if beside is None else self._folder + beside
        return _Call(method, url, body, headers or {}, limit, time.monotonic() + limit)

    def _run(self, call: _Call, max_retries: int, read: Callable[[bytes], _T]) -> _T:
        """Make a call to its end. The last one to end after `close` closes the pool."""
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the client is closed")
            self._calls_under_way += 1
        try:
            reply = self._complete(call, max_retries)
            try:
                return read(reply.body)
            except _WrongReply as wrong:
                raise call.reply_error(str(wrong), reply) from None
        finally:
            with self._lock:
                self._calls_under_way -= 1
                is_last = self._is_closed and self._calls_under_way == 0
            if is_last:
                self._pool.close()

    def _complete(self, call: _Call, max_retries: int) -> _Reply:
        """Make attempts until one is a success, and return its reply; raise what the last one came to."""
        retries = 0
        renewed = False
        while True:
            credential = self._credential(call)
            outcome = self._send(call, credential)
            if isinstance(outcome, _Reply) and outcome.status == 401 and self._tokens is not None and not renewed:
                renewed = True
                refused = credential
                self._tokens.drop(refused)
                credential = self._credential(call)
                if credential != refused:
                    outcome = self._send(call, credential)
                else:
                    self._tokens.drop(refused)
            if isinstance(outcome, _Reply) and outcome.is_success and not outcome.fault:
                return outcome
            error = call.error(outcome, self._attempt_timeout, self._connect_timeout)
            hint = outcome.retry_after if isinstance(outcome, _Reply) else None
            wait = max(hint or 0.0, back_off(retries, self._base_delay, self._max_delay, self._random()))
            if (
                retries >= max_retries
                or not should_repeat(outcome, self._retry_statuses)
                or wait > self._max_delay
                or wait >= call.left()
            ):
                raise error
            if self._on_retry is not None:
                self._on_retry(Retry(call.attempts, wait, error.reason))
            del error
            self._sleep(min(wait, max(0.0, call.left())))  # a hook takes time too
            retries += 1

    def _credential(self, call: _Call) -> str | None:
        credential = self._key if self._tokens is None else self._tokens.get(call)
        if credential is not None and credential not in call.credentials:
            call.credentials.append(credential)
        return credential

    def _send(self, call: _Call, credential: str | None) -> _Reply | _Failure:
        """Make one attempt, which ends by its deadline wherever it is."""
        headers = {"Accept-Encoding": "identity", **call.headers, "x-ms-client-request-id": call.client_request_id}
        if credential is not None:
            headers["Authorization"] = f"Bearer {credential}"
        if call.left() <= 0:
            return _Failure(urllib3.exceptions.TimeoutError("time is up"))
        target = call.url[len(self._origin) :]
        if not target.startswith("/"):
            target = "/" + target
        _attempt.deadline = min(call.deadline, time.monotonic() + self._attempt_timeout)
        _attempt.target = self._target_prefix + target
        call.attempts += 1
        try:
            response = self._pool.urlopen(
                call.method,
                _attempt.target,
                body=call.body,
                headers=headers,
                redirect=False,
                assert_same_host=False,
                preload_content=False,
                decode_content=False,
            )
        except HTTPError as error:
            return _Failure(error)
        try:
            return self._receive(response)
        finally:
            response.close()  # also its connection, unless the reply was read to its end

    def _receive(self, response: urllib3.BaseHTTPResponse) -> _Reply | _Failure:
        reply = _Reply(response.status, response.headers)
        if not reply.is_success:
            reply.retry_after = retry_hint(response.headers, time.time())
        if reply.status == 101:  # what follows is not HTTP
            return reply
        if reply.is_success and (encoding := reply.header("Content-Encoding") or "identity").lower() != "identity":
            reply.fault = f"the reply has Content-Encoding: {encoding}, which was not asked for"
            return reply
        limit = self._max_reply_bytes if reply.is_success else _ERROR_BODY_BYTES
        body = bytearray()
        try:
            while len(body) <= limit and (chunk := response.read1(_CHUNK_BYTES)):
                body += chunk
        except HTTPError as error:
            if reply.is_success:
                return _Failure(error, reading=True)
            reply.is_cut = True
        if len(body) > limit:
            del body[limit:]
            reply.is_cut = True
            reply.fault = f"the reply is larger than {limit} bytes"
        reply.body = bytes(body)
        return reply


# --- What is repeated ---


def should_repeat(outcome: _Reply | _Failure, retry_statuses: Collection[int]) -> bool:
    """Return whether another attempt may come to something else (B40-B47)."""
    if isinstance(outcome, _Failure):
        return outcome.is_transient
    if outcome.is_success:  # with a fault: it would come again
        return False
    if outcome.status in (500, 502) and outcome.run_function_failed:
        return False
    if outcome.status == 424:
        is_passing = outcome.model_reason in ("model_not_ready", "too_few_model_instance")
        if is_passing or outcome.model_status == 429:
            return True
    return outcome.status in retry_statuses


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
        text = next(iter(headers.getlist(name)), "").strip(" \t")
        if re.fullmatch("[0-9]+", text):
            digits = text.lstrip("0")
            return int(digits or "0") * unit if len(digits) <= 9 else _LONGEST_HINT
        if unit == 1.0 and (date := _http_date(text)) is not None:
            return min(_LONGEST_HINT, max(0.0, date - now))
    return None


def _http_date(text: str) -> float | None:
    """Read an IMF-fixdate, the one form of a date that is still sent, as seconds since the epoch."""
    if not re.fullmatch("[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT", text):
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
        self._fetch: Future[AccessToken] | None = None  # under way

    def get(self, call: _Call) -> str:
        """Return a token; wait for one if need be, at most as long as the call may take."""
        with self._lock:
            token = self._token
            if token is not None and (token.refresh_by is None or time.time() < token.refresh_by):
                return token.token
            fetch = self._fetch
            if fetch is None:
                fetch = Future()
                threading.Thread(target=self._run, args=(fetch,), daemon=True).start()
                self._fetch = fetch  # not before: a thread that cannot start would be waited for for ever
        try:
            return fetch.result(max(0.0, call.left())).token
        except TimeoutError as error:
            if fetch.done() and fetch.exception() is error:  # the provider's own
                raise
            raise call.transport_error(f"no token within {call.limit:g} s", timed_out=True) from None

    def drop(self, refused: str | None) -> None:
        """Forget a token that the service refused, unless there is another one already."""
        with self._lock:
            if self._token is not None and self._token.token == refused:
                self._token = None

    def _run(self, fetch: Future[AccessToken]) -> None:
        try:
            token = self._provider()
            if not isinstance(token, AccessToken):
                raise TypeError(f"the token provider must return an AccessToken, not {type(token).__name__}")
            _check_credential("token", token.token)
        except BaseException as error:
            with self._lock:
                self._fetch = None
                old = self._token  # None if it was refused
            if old is None:
                fetch.set_exception(error)
            else:
                fetch.set_result(old)
        else:
            with self._lock:
                self._fetch = None
                self._token = token
            fetch.set_result(token)


# --- What one attempt came to ---


@dataclass
class _Reply:
    """An answer of the service."""

    status: int
    headers: urllib3.HTTPHeaderDict
    body: bytes = b""
    is_cut: bool = False
    fault: str = ""  # why a success is none, known before its body is looked at
    retry_after: float | None = None

    @property
    def is_success(self) -> bool:
        return 200 <= self.status <= 299

    @property
    def model_status(self) -> int | None:
        text = self.header("ms-azureml-model-error-statuscode") or ""
        return int(text) if re.fullmatch("[0-9]{3}", text) else None

    @property
    def model_reason(self) -> str | None:
        return self.header("ms-azureml-model-error-reason")

    @property
    def run_function_failed(self) -> bool:
        return (self.header("x-ms-run-function-failed") or "").lower() == "true"

    def header(self, name: str) -> str | None:
        """Return the first such header, or None where there is none or an empty one."""
        return next(iter(self.headers.getlist(name)), "").strip() or None


@dataclass
class _Failure:
    """No answer, or not all of a success."""

    error: HTTPError
    reading: bool = False  # the body of a success

    @property
    def timed_out(self) -> bool:
        """A refused connection is a NewConnectionError, which urllib3 derives from its TimeoutError."""
        return any(
            isinstance(link, (TimeoutError, urllib3.exceptions.TimeoutError))
            and not isinstance(link, NewConnectionError)
            for link in _links(self.error)
        )

    @property
    def in_connecting(self) -> bool:
        return any(isinstance(link, ConnectTimeoutError) for link in _links(self.error))

    @property
    def is_transient(self) -> bool:
        """Whether it was the network: neither slowness, nor TLS that refuses, nor a reply that would come again."""
        if self.timed_out:
            return self.in_connecting
        *_, root = _links(self.error)
        if isinstance(root, ssl.SSLError):
            return self.reading or isinstance(root, (ssl.SSLEOFError, ssl.SSLZeroReturnError))
        if isinstance(self.error, ProxyError):
            return not isinstance(self.error.original_error, OSError) or self.error.original_error.errno is not None
        return not _has_large_headers(root)


@dataclass
class _Call:
    """One call of a user, over all its attempts."""

    method: str
    url: str
    body: bytes | None
    headers: dict[str, str]
    limit: float
    deadline: float
    client_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    attempts: int = 0
    credentials: list[str] = field(default_factory=list)
    """Those that were used, to be hidden in texts."""

    def left(self) -> float:
        return self.deadline - time.monotonic()

    def error(self, outcome: _Reply | _Failure, attempt_timeout: float, connect_timeout: float) -> ScoringError:
        """Return what the user gets to see of an outcome that is no success."""
        if isinstance(outcome, _Reply):
            return self.reply_error(outcome.fault, outcome) if outcome.is_success else self._service_error(outcome)
        if not outcome.timed_out:
            reason = self._excerpt(_what_happened(outcome.error))
        else:
            awaited = "connection" if outcome.in_connecting else "complete reply"
            limit = min(attempt_timeout, connect_timeout) if outcome.in_connecting else attempt_timeout
            reason = f"no {awaited} within {self.limit if self.left() <= 0 else limit:g} s"
        error = self.transport_error(reason, outcome.timed_out)
        error.__cause__ = self._fit_to_print(outcome.error)
        return error

    def transport_error(self, reason: str, timed_out: bool) -> TransportError:
        return TransportError(self._text(reason), attempts=self.attempts, reason=reason, timed_out=timed_out)

    def _service_error(self, reply: _Reply) -> ServiceError:
        message = self._hide(_service_message(reply.body), reply.is_cut)
        request_id = self._hidden(reply.header("x-request-id") or reply.header("x-ms-request-id"))
        excerpt = self._excerpt(message)
        reason = f"{reply.status}: {excerpt}" if excerpt else f"{reply.status}"
        return ServiceError(
            self._text(reason, request_id),
            attempts=self.attempts,
            reason=reason,
            status=reply.status,
            message=message,
            body=reply.body,
            request_id=request_id,
            client_request_id=self.client_request_id,
            retry_after=reply.retry_after,
            model_status=reply.model_status,
            model_reason=self._hidden(reply.model_reason),
            run_function_failed=reply.run_function_failed,
        )

    def reply_error(self, reason: str, reply: _Reply) -> ReplyError:
        reason = self._excerpt(reason)
        excerpt = self._excerpt(reply.body[:_ERROR_BODY_BYTES].decode(errors="replace"), reply.is_cut)
        text = self._text(f"{reason}: {excerpt}" if excerpt else reason)
        return ReplyError(text, attempts=self.attempts, reason=reason, excerpt=excerpt)

    def _text(self, what: str, request_id: str | None = None) -> str:
        details = f"{self.attempts} attempt{'' if self.attempts == 1 else 's'}"
        if request_id:
            details += f", request id {self._excerpt(request_id)}"
        return f"{self.method} {_without_query(self.url)}: {what} ({details})"

    def _excerpt(self, text: str, is_cut: bool = False) -> str:
        """Return the beginning of a text from outside, fit for a log: one line, without the credential."""
        text = self._hide(text, is_cut)
        if len(text) > _EXCERPT_CHARACTERS:
            text = text[: _EXCERPT_CHARACTERS - 1] + "…"
        return "".join(character if character.isprintable() else " " for character in text).strip()

    def _hidden(self, text: str | None) -> str | None:
        return text and self._hide(text)

    def _hide(self, text: str, is_cut: bool = False) -> str:
        """Replace credentials by ***, also where JSON escapes part of one, and a beginning where the text was cut."""
        for credential in sorted(self.credentials, key=len, reverse=True):
            escaped = "".join(rf"(?:\\?{re.escape(c)}|\\u00(?i:{ord(c):02x}))" for c in credential)
            text = re.sub(escaped, "***", text)
            if is_cut:
                lengths = range(len(credential), 0, -1)
                text = next((text[:-n] + "***" for n in lengths if text.endswith(credential[:n])), text)
        return text

    def _fit_to_print(self, error: HTTPError) -> HTTPError | None:
        """Return the error, or None when its traceback quotes a service that sent the credential back."""
        trace = "".join(traceback.format_exception(error))
        return error if trace == self._hide(trace) else None


def _links(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what urllib3 wrapped in it, outermost first."""
    link: object = error
    while isinstance(link, BaseException):
        yield link
        wrapped = link.args[-1] if link.args else None
        link = wrapped if isinstance(wrapped, BaseException) else link.__cause__


def _has_large_headers(error: BaseException) -> bool:
    """Return whether http.client read enough of them: a line of 64 KiB, or 100 lines."""
    return isinstance(error, http.client.LineTooLong) or type(error) is http.client.HTTPException


_WHAT_HAPPENED: tuple[tuple[type[BaseException], str], ...] = (
    (socket.gaierror, "the host name cannot be resolved"),
    (ConnectionRefusedError, "connection refused"),
    (http.client.RemoteDisconnected, "the connection was closed before the reply"),
    (http.client.IncompleteRead, "the reply was cut off"),
    (ConnectionError, "the connection was reset"),
    (ssl.SSLEOFError, "the connection was closed inside TLS"),
    (ssl.SSLZeroReturnError, "the connection was closed inside TLS"),
    (http.client.HTTPException, "the reply is not valid HTTP"),
    (urllib3.exceptions.InvalidHeader, "the reply is not valid HTTP"),
)


def _what_happened(error: HTTPError) -> str:
    *_, root = _links(error)
    known = (text for kind, text in _WHAT_HAPPENED if isinstance(root, kind))
    text = next(known, getattr(root, "strerror", None) or str(root))
    if _has_large_headers(root):
        text = "the headers of the reply are too large"
    if refusal := re.match(
        "Tunnel connection failed: ([0-9]{3})", text
    ):  # by http.client; the proxy's own words follow
        return f"the proxy refused the tunnel: {refusal[1]}"
    return f"the proxy: {text}" if isinstance(error, ProxyError) else text


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


@dataclass(eq=False, repr=False, kw_only=True)
class ReplyError(ScoringError):
    """The service said success, but its body is not one finite number for each row (C31-C35)."""

    excerpt: str
    """The beginning of the body, fit for a log, at most 300 characters."""


# --- Arguments ---


def _checked_uri(text: str) -> urllib.parse.SplitResult:
    if not isinstance(text, str):
        raise TypeError(f"the scoring URI must be a str, not {type(text).__name__}")
    not_absolute = ValueError("the scoring URI must be an absolute http or https URI")
    if re.search(r"[^!-~]|[\"<>\\^`{|}]|%(?![0-9A-Fa-f]{2})", text):
        raise not_absolute
    try:
        uri = urllib.parse.urlsplit(text)
        is_absolute = uri.scheme in ("http", "https") and bool(uri.hostname) and uri.port != 0
    except ValueError:  # a port or an IPv6 address that is none
        raise not_absolute from None
    if not is_absolute or "%" in uri.netloc:
        raise not_absolute
    if "@" in uri.netloc:
        raise ValueError("the scoring URI must not contain user info")
    if "#" in text:
        raise ValueError("the scoring URI must not contain a fragment")
    if {".", ".."} & set(uri.path.split("/")):
        raise ValueError("the scoring URI must not contain dot segments")
    for escape in re.findall("%..", text):
        if re.fullmatch("[A-Za-z0-9._~-]", urllib.parse.unquote(escape)):
            raise ValueError(f"the scoring URI must not contain needless percent escapes ({escape})")
    return uri


def _check_credential(name: str, text: str) -> None:
    _check_header_text(name, text, "!-~", " (a trailing newline?)")


def _check_header_text(name: str, text: str, allowed: str, hint: str = "") -> None:
    if not isinstance(text, str):
        raise TypeError(f"the {name} must be a str, not {type(text).__name__}")
    if not text:
        raise ValueError(f"the {name} is empty")
    if found := re.search(f"^ |[^{allowed}]| $", text):
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
        try:
            iterator = iter(row)
        except TypeError:
            raise TypeError(f"row {index} is of type {type(row).__name__}, not a row of numbers") from None
        cells = list(iterator)
        if set(map(type, cells)) != {float} or not all(map(math.isfinite, cells)):
            cells = [_number(cell, index, column) for column, cell in enumerate(cells)]
        data.append(cells)
    return json.dumps({"data": data}, separators=(",", ":")).encode(), len(data)


def _number(cell: SupportsFloat, row: int, column: int) -> float:
    try:
        is_finite = math.isfinite(cell)  # unlike float(), refuses text
        number = float(cell)
    except TypeError:
        raise TypeError(f"row {row}, column {column} is of type {type(cell).__name__}, not a number") from None
    except OverflowError:
        raise ValueError(f"row {row}, column {column} is too large for a double") from None
    if not is_finite:
        name = "NaN" if math.isnan(number) else "Infinity"
        raise ValueError(f"row {row}, column {column} is {name}: JSON has no such number")
    return number


class _WrongReply(Exception):
    """The body of a success is not what was asked for; the text says why."""


def _read_predictions(body: bytes, row_count: int) -> list[float]:
    value = _read_json(body, parse_int=float)
    if isinstance(value, dict):
        error = value.get("error")
        error = error.get("message") if isinstance(error, dict) else error
        detail = f": {error}" if isinstance(error, str) and error.strip() else ""
        raise _WrongReply(f"the reply is a JSON object, not an array{detail}")
    if isinstance(value, str):
        raise _WrongReply(
            "the reply is a JSON string, not an array; the scoring script probably calls json.dumps itself"
        )
    if not isinstance(value, list):
        raise _WrongReply(f"the reply is a JSON {_json_type(value)}, not an array")
    for index, element in enumerate(value):
        if type(element) is not float:
            raise _WrongReply(f"element {index} of the reply is a JSON {_json_type(element)}, not a number")
        if not math.isfinite(element):  # 1e400
            raise _WrongReply(f"element {index} of the reply is not a finite number")
    if len(value) != row_count:
        raise _WrongReply(f"the reply has {len(value)} predictions for {row_count} rows")
    return value


def _read_json(body: bytes, parse_int: Callable[[str], float] = int) -> Any:
    """Return any JSON value. JSON is UTF-8 whatever a charset says (C32)."""
    try:
        text = body.removeprefix(b"\xef\xbb\xbf").decode()
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
    text = body.decode(errors="replace").removeprefix("\ufeff").strip()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        is_page = re.match(r"<(!doctype|html|head|body)\b", text, re.IGNORECASE)
        message = _page_title(text) if is_page else text
    else:
        message = _json_message(value)
    return message.encode(errors="replace").decode()  # an escaped lone surrogate cannot be printed


def _json_message(value: object) -> str:
    if isinstance(value, dict):
        error = value.get("error")
        error_message = error.get("message") if isinstance(error, dict) else None
        candidates = [value.get("message"), error_message, error, value.get("detail")]
    else:
        candidates = [value]
    return next((text for text in candidates if isinstance(text, str) and text.strip()), "")


def _page_title(page: str) -> str:
    title = re.search(r"<title[^>]*>(.*?)</title>", page, re.IGNORECASE | re.DOTALL)
    return " ".join(html.unescape(title[1]).split()) if title else ""


# --- Connections ---
#
# urllib3 limits each wait for bytes, not their sum: a reply that drips may last for ever. These classes look at the
# attempt's deadline before every wait, from the name look-up to the last byte. To do so they override internals:
# `_new_conn` of urllib3, `_read_status` of http.client.

_attempt = threading.local()  # of the attempt under way in this thread: deadline (time.monotonic), target


def _left() -> float:
    left: float = _attempt.deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("time is up")
    return left


class _Reader(io.RawIOBase):
    """The reading side of a socket, as http.client wants it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._raw = cast(io.RawIOBase, sock.makefile("rb", buffering=0))
        self.ended = False

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self, _CHUNK_BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(_left())
        count = self._raw.readinto(buffer)
        self.ended = count == 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """Skips every interim reply and refuses a broken header block: http.client would take them for the reply."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        self._reader = _Reader(sock)
        super().__init__(cast(socket.socket, self._reader), *args, **kwargs)

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
        if self._reader.ended or any(isinstance(defect, broken) for defect in self.msg.defects):
            raise http.client.BadStatusLine("broken header block")


class _Connection(HTTPConnection):
    response_class = _Response

    def connect(self) -> None:
        whole = _attempt.deadline
        _attempt.deadline = min(whole, time.monotonic() + cast(float, self.timeout))
        try:
            super().connect()
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "connect timeout") from error
        finally:
            _attempt.deadline = whole

    def _new_conn(self) -> socket.socket:
        made: Future[socket.socket] = Future()

        def make() -> None:
            try:
                made.set_result(super(_Connection, self)._new_conn())
            except BaseException as error:
                made.set_exception(error)

        threading.Thread(target=make, daemon=True).start()  # getaddrinfo knows no time limit
        try:
            sock = made.result(_left())
            sock.settimeout(_left())
        except BaseException:
            made.add_done_callback(_close_late)
            raise
        return sock

    def putrequest(self, method: str, url: str, skip_host: bool = False, skip_accept_encoding: bool = False) -> None:
        del url  # urllib3 wrote %2F in it where the caller wrote %2f
        super().putrequest(method, _attempt.target, skip_host, skip_accept_encoding)

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        view = memoryview(data)
        while view:
            self.sock.settimeout(_left())
            try:
                view = view[self.sock.send(view) :]
            except ssl.SSLEOFError as error:
                raise BrokenPipeError from error  # urllib3 then reads the reply that the service sent before it closed


def _close_late(made: Future[socket.socket]) -> None:
    if made.exception() is None:
        made.result().close()


class _TLSConnection(_Connection, HTTPSConnection):
    pass


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


def _trust(ca_file: str | None) -> ssl.SSLContext:
    try:
        if ca_file is not None:
            Path(ca_file).open("rb").close()  # OpenSSL takes "" for no file at all, and says little of a folder
        tls = ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        raise ValueError("the CA file holds no certificate") from None
    except OSError as error:
        raise ValueError(f"the CA file cannot be read: {error.strerror}") from None
    if ca_file is not None and not tls.cert_store_stats()["x509"]:
        raise ValueError("the CA file holds no certificate")
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    return tls


def _open_pool(
    uri: urllib.parse.SplitResult, connect_timeout: float, ca_file: str | None, proxy_option: str | None
) -> tuple[urllib3.HTTPConnectionPool, str]:
    """Return the pool, and what stands before a request target: the origin where a proxy forwards plain http."""
    proxy = None if proxy_option is None else _checked_proxy(proxy_option)
    if _is_loopback(uri.hostname):
        proxy = None
    elif proxy is None:
        proxy = _environment_proxy(uri)
    tls = _trust(ca_file) if ca_file is not None or "https" in (uri.scheme, proxy and proxy.scheme) else None
    options: dict[str, Any] = {
        "maxsize": _POOL_SIZE,
        "retries": False,
        "ssl_context": tls,
        "timeout": urllib3.Timeout(connect=connect_timeout, read=None),  # _Reader limits reading
    }
    if proxy is None:
        manager = urllib3.PoolManager(**options)
    else:
        credential = urllib.parse.unquote(proxy.auth) if proxy.auth else None
        headers = urllib3.make_headers(proxy_basic_auth=credential)
        manager = urllib3.ProxyManager(proxy.url, proxy_headers=headers, proxy_ssl_context=tls, **options)
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
    pool = manager.connection_from_host(uri.hostname, uri.port, uri.scheme)
    return pool, f"http://{uri.netloc}" if proxy is not None and uri.scheme == "http" else ""


def _checked_proxy(text: str) -> urllib3.util.Url:
    host_and_port = r"http://([A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\]):([0-9]{1,5})/?"
    found = re.fullmatch(host_and_port, text) if isinstance(text, str) else None
    if not found or not 0 < int(found[2]) < 65536:
        raise ValueError("the proxy must be http://host:port")
    return urllib3.util.parse_url(text)


def _environment_proxy(uri: urllib.parse.SplitResult) -> urllib3.util.Url | None:
    proxies = urllib.request.getproxies()
    text = proxies.get(uri.scheme) or proxies.get("all")
    if not text or urllib.request.proxy_bypass(uri.netloc):
        return None
    try:
        proxy = urllib3.util.parse_url(text if "://" in text else f"http://{text}")
    except ValueError:
        proxy = urllib3.util.Url()
    if proxy.scheme not in ("http", "https") or not proxy.host:
        raise ValueError("the proxy in the environment must be an http or https URL")  # it may hold a password
    return proxy
