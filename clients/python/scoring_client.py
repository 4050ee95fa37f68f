"""A client for a model that Azure Machine Learning serves as a web service. One file to copy; it needs urllib3 2.

    with ScoringClient("https://host/score", key=key) as client:
        predictions = client.score([[0.02, 0.05, 0.10], [-0.01, -0.04, 0.06]])

What can be raised:

    ValueError, TypeError   the caller's mistake; nothing was sent
    ScoringError            all else, with the number of attempts
    ├── ServiceError        the service answered with another status than 2xx
    ├── TransportError      no answer, or not all of it: network, TLS, time
    └── ReplyError          a success status, but no predictions

The credential goes into one header and nowhere else. A wrong answer is never a success. From asyncio:
`await asyncio.to_thread(client.score, rows)`.
"""

from __future__ import annotations

import copyreg
import html
import http.client
import io
import ipaddress
import json
import math
import re
import socket
import ssl
import threading
import time
import traceback
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from email.errors import FirstHeaderLineIsContinuationDefect, MissingHeaderBodySeparatorDefect
from types import TracebackType
from typing import Any, Self, SupportsFloat, cast

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ClosedPoolError, ConnectTimeoutError, HTTPError, NewConnectionError, ProxyError

__all__ = ["ReplyError", "ScoringClient", "ScoringError", "ServiceError", "TransportError"]

_CHUNK_BYTES = 64 * 1024
_ERROR_BODY_BYTES = 64 * 1024
_EXCERPT_CHARACTERS = 300
_POOL_SIZE = 64  # connections kept open; more calls than that at once open and close their own
_LONGEST_SECONDS = 1e6  # sockets refuse a limit above 24 days


class ScoringClient:
    """Sends rows to one scoring URI. Immutable, safe to share between threads; owns a pool of connections.

    Args:
        scoring_uri: Absolute http or https URI. Its path and query are sent exactly as given (W02).
        key: Key or token, sent as `Authorization: Bearer <key>` (W22). Default: none, and no such header.
        timeout: Seconds for a whole call, from the name look-up to the last byte of the reply. Default: 100.
        connect_timeout: Seconds for name look-up, TCP and TLS together. Default: 10.
        max_reply_bytes: A success with a larger body is a ReplyError. Default: 64 MiB.
        allow_insecure_http: Allow a key over plain http to a host that is not loopback. Default: False.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    TLS is 1.2 or later and always verified (W37). Redirects are not followed, netrc is not read, cookies are not kept.
    The environment's proxy variables are honoured, but never for a loopback host.
    """

    def __init__(
        self,
        scoring_uri: str,
        *,
        key: str | None = None,
        timeout: float = 100.0,
        connect_timeout: float = 10.0,
        max_reply_bytes: int = 64 * 1024 * 1024,
        allow_insecure_http: bool = False,
    ) -> None:
        uri = _checked_uri(scoring_uri)
        if key is not None:
            _check_key(key)
            if uri.scheme == "http" and not allow_insecure_http and not _is_loopback(uri.hostname):
                raise ValueError(
                    "a key over plain http to a host that is not loopback: use https, "
                    "or allow_insecure_http if the network is trusted"
                )
        if not isinstance(max_reply_bytes, int) or max_reply_bytes < 1:
            raise ValueError("max_reply_bytes must be a whole number above 0")
        self._key = key
        self._timeout = _checked_seconds("timeout", timeout)
        self._connect_timeout = _checked_seconds("connect_timeout", connect_timeout)
        self._max_reply_bytes = max_reply_bytes
        self._shown_uri = f"{uri.scheme}://{uri.netloc}{uri.path}"
        self._pool, self._target = _open_pool(scoring_uri, uri, self._connect_timeout)

    def score(self, rows: Iterable[Iterable[SupportsFloat]], *, timeout: float | None = None) -> list[float]:
        """Return one prediction for each row, in the same order.

        Sends `{"data": rows}` (A27) in one POST.

        Args:
            rows: Iterables of finite numbers, each sent as a double, bit for bit. How many make a row is the service's
                business.
            timeout: Seconds for this call. It can only shorten the client's own.

        Raises:
            ValueError, TypeError: A cell is no finite number; the text says which.
            ServiceError, TransportError, ReplyError: See the top of this file.
            RuntimeError: The client is closed.
        """
        limit = self._timeout if timeout is None else min(self._timeout, _checked_seconds("timeout", timeout))
        payload, row_count = _encode_rows(rows)
        body, attempts = self._call(payload, limit)
        try:
            return _read_predictions(body, row_count)
        except _WrongReply as wrong:
            raise self._reply_error(str(wrong), body, attempts, is_cut=False) from None

    def close(self) -> None:
        """Close idle connections. Calls under way go on to their end; later ones raise RuntimeError."""
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
        return f"ScoringClient({self._shown_uri!r})"

    # --- Sending ---

    def _call(self, payload: bytes, limit: float) -> tuple[bytes, int]:
        """Return the body of a 2xx and the number of attempts, or raise what the outcome means."""
        deadline = time.monotonic() + limit
        client_request_id = str(uuid.uuid4())
        outcome = self._send(payload, client_request_id, deadline)
        attempts = 1
        if isinstance(outcome, _Failure):
            raise self._transport_error(outcome.error, limit, attempts) from self._fit_to_print(outcome.error)
        if not outcome.is_success:
            raise self._service_error(outcome, client_request_id, attempts)
        if outcome.fault:
            raise self._reply_error(outcome.fault, outcome.body, attempts, outcome.is_cut)
        return outcome.body, attempts

    def _send(self, payload: bytes, client_request_id: str, deadline: float) -> _Reply | _Failure:
        """Make one attempt, which ends by the deadline wherever it is."""
        headers = {
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "x-ms-client-request-id": client_request_id,
        }
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        _attempt.deadline, _attempt.target = deadline, self._target
        try:
            response = self._pool.urlopen(
                "POST",
                self._target,
                body=payload,
                headers=headers,
                redirect=False,
                assert_same_host=False,
                preload_content=False,
                decode_content=False,
            )
        except ClosedPoolError:
            raise RuntimeError("the client is closed") from None
        except HTTPError as error:
            return _Failure(error)
        try:
            return self._receive(response)
        finally:
            response.close()  # also its connection, unless the reply was read to its end

    def _receive(self, response: urllib3.BaseHTTPResponse) -> _Reply | _Failure:
        reply = _Reply(response.status, response.headers)
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
                return _Failure(error)
            reply.is_cut = True
        if len(body) > limit:
            del body[limit:]
            reply.is_cut = True
            reply.fault = f"the reply is larger than {limit} bytes"
        reply.body = bytes(body)
        return reply

    # --- From outcomes to errors ---

    def _transport_error(self, error: HTTPError, limit: float, attempts: int) -> TransportError:
        timed_out = _timed_out(error)
        if not timed_out:
            reason = self._excerpt(_what_happened(error))
        elif any(isinstance(link, ConnectTimeoutError) for link in _links(error)):
            reason = f"no connection within {min(limit, self._connect_timeout):g} s"
        else:
            reason = f"no complete reply within {limit:g} s"
        return TransportError(self._text(reason, attempts), attempts=attempts, timed_out=timed_out)

    def _service_error(self, reply: _Reply, client_request_id: str, attempts: int) -> ServiceError:
        message = self._hide_key(_service_message(reply.body), reply.is_cut)
        request_id = reply.header("x-request-id") or reply.header("x-ms-request-id")
        request_id = request_id and self._hide_key(request_id)
        model_status = reply.header("ms-azureml-model-error-statuscode") or ""
        model_reason = reply.header("ms-azureml-model-error-reason")
        excerpt = self._excerpt(message)
        return ServiceError(
            self._text(f"{reply.status}: {excerpt}" if excerpt else f"{reply.status}", attempts, request_id),
            attempts=attempts,
            status=reply.status,
            message=message,
            body=reply.body,
            request_id=request_id,
            client_request_id=client_request_id,
            model_status=int(model_status) if re.fullmatch("[0-9]{3}", model_status) else None,
            model_reason=model_reason and self._hide_key(model_reason),
            run_function_failed=(reply.header("x-ms-run-function-failed") or "").lower() == "true",
        )

    def _reply_error(self, reason: str, body: bytes, attempts: int, is_cut: bool) -> ReplyError:
        reason = self._excerpt(reason)
        excerpt = self._excerpt(body[:_ERROR_BODY_BYTES].decode(errors="replace"), is_cut)
        text = self._text(f"{reason}: {excerpt}" if excerpt else reason, attempts)
        return ReplyError(text, attempts=attempts, reason=reason, excerpt=excerpt)

    def _text(self, what: str, attempts: int, request_id: str | None = None) -> str:
        details = f"{attempts} attempt{'' if attempts == 1 else 's'}"
        if request_id:
            details += f", request id {self._excerpt(request_id)}"
        return f"POST {self._shown_uri}: {what} ({details})"

    def _excerpt(self, text: str, is_cut: bool = False) -> str:
        """Return the beginning of a text from outside, fit for a log: one line, without the key."""
        text = self._hide_key(text, is_cut)
        if len(text) > _EXCERPT_CHARACTERS:
            text = text[: _EXCERPT_CHARACTERS - 1] + "…"
        return "".join(character if character.isprintable() else " " for character in text).strip()

    def _hide_key(self, text: str, is_cut: bool = False) -> str:
        """Replace the key by ***, also where JSON escapes some of it, and its beginning at the end of a cut text."""
        if self._key is None:
            return text
        escaped = "".join(rf"(?:\\?{re.escape(c)}|\\u00(?i:{ord(c):02x}))" for c in self._key)
        text = re.sub(escaped, "***", text)
        if is_cut:
            lengths = range(len(self._key), 0, -1)
            text = next((text[:-n] + "***" for n in lengths if text.endswith(self._key[:n])), text)
        return text

    def _fit_to_print(self, error: HTTPError) -> HTTPError | None:
        """Return the error, or None when its traceback quotes a service that sent the key back."""
        trace = "".join(traceback.format_exception(error))
        return error if trace == self._hide_key(trace) else None


# --- What one attempt came to ---


@dataclass
class _Reply:
    """An answer of the service."""

    status: int
    headers: urllib3.HTTPHeaderDict
    body: bytes = b""
    is_cut: bool = False
    fault: str = ""  # why a success is none, known before its body is looked at

    @property
    def is_success(self) -> bool:
        return 200 <= self.status <= 299

    def header(self, name: str) -> str | None:
        """Return the first such header, or None where there is none or an empty one."""
        return next(iter(self.headers.getlist(name)), "").strip() or None


@dataclass
class _Failure:
    """No answer, or not all of a success."""

    error: HTTPError


def _links(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what urllib3 wrapped in it, outermost first."""
    link: object = error
    while isinstance(link, BaseException):
        yield link
        wrapped = link.args[-1] if link.args else None
        link = wrapped if isinstance(wrapped, BaseException) else link.__cause__


def _timed_out(error: HTTPError) -> bool:
    """A refused connection is a NewConnectionError, which urllib3 derives from its TimeoutError."""
    return any(
        isinstance(link, (TimeoutError, urllib3.exceptions.TimeoutError)) and not isinstance(link, NewConnectionError)
        for link in _links(error)
    )


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
    return f"the proxy: {text}" if isinstance(error, ProxyError) else text


# --- Errors ---


@dataclass(eq=False, repr=False)
class ScoringError(Exception):
    """A call that failed for another reason than its arguments. The text is one line, without key and query."""

    text: str
    attempts: int
    """Requests sent."""

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

    reason: str
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


def _check_key(key: str) -> None:
    if not isinstance(key, str):
        raise TypeError(f"the key must be a str, not {type(key).__name__}")
    if not key:
        raise ValueError("the key is empty")
    if found := re.search("[^!-~]", key):
        raise ValueError(
            f"the key has a character that cannot be sent in a header at position {found.start()} (a trailing newline?)"
        )


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
            cells = enumerate(row)
        except TypeError:
            raise TypeError(f"row {index} is of type {type(row).__name__}, not a row of numbers") from None
        data.append([_number(cell, index, column) for column, cell in cells])
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
    value = _read_json(body)
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


def _read_json(body: bytes) -> Any:
    """Return any JSON value, its numbers all as doubles. JSON is UTF-8 whatever a charset says (C32)."""
    try:
        text = body.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError:
        raise _WrongReply("the reply is not valid UTF-8") from None
    if not text.strip(" \t\r\n"):
        raise _WrongReply("the reply is empty")
    try:
        return json.loads(text, parse_int=float, parse_constant=_refuse_constant)
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


# --- Connections with a deadline ---
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


def _open_pool(
    scoring_uri: str, uri: urllib.parse.SplitResult, connect_timeout: float
) -> tuple[urllib3.HTTPConnectionPool, str]:
    """Return the pool and the request target, which is the whole URI where a proxy forwards plain http."""
    proxy = _environment_proxy(uri)
    tls = None
    if "https" in (uri.scheme, proxy and proxy.scheme):
        tls = ssl.create_default_context()
        tls.minimum_version = ssl.TLSVersion.TLSv1_2
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
    target = scoring_uri[len(f"{uri.scheme}://{uri.netloc}") :]
    if not target.startswith("/"):
        target = "/" + target
    if proxy is not None and uri.scheme == "http":
        target = f"http://{uri.netloc}{target}"
    return pool, target


def _environment_proxy(uri: urllib.parse.SplitResult) -> urllib3.util.Url | None:
    proxies = urllib.request.getproxies()
    text = proxies.get(uri.scheme) or proxies.get("all")
    if not text or _is_loopback(uri.hostname) or urllib.request.proxy_bypass(uri.netloc):
        return None
    try:
        proxy = urllib3.util.parse_url(text if "://" in text else f"http://{text}")
    except ValueError:
        proxy = urllib3.util.Url()
    if proxy.scheme not in ("http", "https") or not proxy.host:
        raise ValueError("the proxy in the environment must be an http or https URL")  # it may hold a password
    return proxy
