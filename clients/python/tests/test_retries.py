"""What is repeated, when, and what is told about it (B15, B30-B32, B40-B49)."""

import os
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import scoring_client
import trustme
from raw_server import Play, RawServer, close, raw, refused_port, reply, reset, silence
from scoring_client import ReplyError, Retry, ScoringClient, ScoringError, ServiceError, TransportError

Serve = Callable[..., RawServer]
KEY = "Zk3vWq8RsT"
SOON = 0.15  # seconds: a limit that is meant to pass
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
BUSY = reply({"message": "busy"}, 503)


class Clock:
    """Stands in for the module `time`: it goes on only in `sleep`, and keeps what was slept."""

    def __init__(self) -> None:
        self.now = 784111740.0
        self.slept: list[float] = []
        self.oversleeps = 0.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds + self.oversleeps


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(scoring_client, "time", made)
    return made


@contextmanager
def hello_server(play: Play) -> Iterator[str]:
    """A server that answers the beginning of every TLS connection with a play; gives its URI."""
    with RawServer(*[play] * 8, reads=lambda stream: stream.recv(65536)) as server:
        yield server.uri.replace("http:", "https:")


def opened(uri: str, random: float = 0.5, **options: Any) -> ScoringClient:
    client = ScoringClient(uri, **options)
    client._random = lambda: random
    return client


def failed(uri: str, **options: Any) -> ScoringError:
    with opened(uri, **options) as client, pytest.raises(ScoringError) as caught:
        client.score([[1.5]])
    return caught.value


# Proves B02, B15, B48, B60.
@pytest.mark.parametrize(("random", "factor"), [(0.0, 0.5), (0.5, 1.0), (0.75, 1.25)])
def test_default_delays(serve: Serve, clock: Clock, random: float, factor: float) -> None:
    server = serve(*[BUSY] * 5)
    error = failed(server.uri, random=random, key=KEY)
    assert isinstance(error, ServiceError)
    assert (error.status, error.attempts) == (503, 4)
    assert clock.slept == pytest.approx([0.8 * factor, 1.6 * factor, 3.2 * factor])
    assert str(error) == f"POST {server.uri}: 503: busy (4 attempts)"
    assert len({request.raw for request in server.requests}) == 1  # the id and the key included
    assert len(server.requests) == 4


# Proves B48.
def test_random_numbers_are_drawn_anew(serve: Serve, clock: Clock) -> None:
    with ScoringClient(serve(*[BUSY] * 4).uri) as client, pytest.raises(ServiceError):
        client.score([[1.5]])
    factors = [wait / delay for wait, delay in zip(clock.slept, (0.8, 1.6, 3.2), strict=True)]
    assert len(set(factors)) == 3
    assert all(0.5 <= factor < 1.5 for factor in factors)


@pytest.mark.parametrize(
    "play",
    [
        close(),
        reset(),
        close(b"HTTP/1.1 200 OK\r\nContent-Le"),
        close(OK + b"[1.5"),
        reset(OK + b"[1.5"),
        close(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[0."),
        close(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n[0.5]"),
        raw(b"garbage\r\n\r\n"),
        close(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n[0.5]"),
    ],
)
# Proves B40.
def test_the_network_is_tried_again(serve: Serve, clock: Clock, play: Play) -> None:
    server = serve(play, play, reply([0.5]))
    with opened(server.uri) as client:
        assert client.score([[1.5]]) == [0.5]
    assert len(server.requests) == 3
    assert len({request.raw for request in server.requests}) == 1
    assert clock.slept == pytest.approx([0.8, 1.6])


# Proves B40, B60.
def test_refused_is_tried_again(clock: Clock) -> None:
    with refused_port() as port:
        error = failed(f"http://127.0.0.1:{port}/score")
    assert isinstance(error, TransportError)
    assert (error.attempts, error.timed_out, len(clock.slept)) == (4, False, 3)
    assert str(error) == f"POST http://127.0.0.1:{port}/score: connection refused (4 attempts)"


# Proves B40.
def test_name_not_found_is_tried_again(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def not_found(*_: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", not_found)
    assert failed("http://service.test/score").attempts == 4
    assert len(clock.slept) == 3


@pytest.mark.parametrize(
    ("play", "attempts"),
    [
        (close(), 4),
        (reset(), 4),
        (close(b"\x15\x03\x03\x00\x02\x02\x28"), 1),  # an alert: handshake failure
        (close(b"HTTP/1.1 400 Bad Request\r\n\r\n"), 1),  # no TLS there
    ],
)
# Proves B40, B41.
def test_tls_that_ends_is_tried_again_and_tls_that_refuses_is_not(clock: Clock, play: Play, attempts: int) -> None:
    with hello_server(play) as uri:
        error = failed(uri)
    assert isinstance(error, TransportError)
    assert (error.attempts, len(clock.slept)) == (attempts, attempts - 1)


# Proves B41.
@pytest.mark.parametrize("host", ["127.0.0.1", "other.test"])
def test_certificates_that_do_not_fit_are_not_tried_again(
    serve: Serve, clock: Clock, tmp_path: Path, host: str
) -> None:
    theirs, ours = trustme.CA(), trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.issue_cert(host).configure_cert(tls)
    (theirs if host == "other.test" else ours).cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server = serve(tls=tls)
    error = failed(server.uri, ca_file=str(tmp_path / "ca.pem"))
    assert "certificate verify failed" in str(error)
    assert (error.attempts, server.connections, clock.slept) == (1, 1, [])


# Proves B40.
def test_tls_that_breaks_inside_a_reply_is_tried_again(serve: Serve, clock: Clock, tmp_path: Path) -> None:
    authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    def broken(stream: socket.socket) -> bool:
        stream.sendall(OK + b"[1.5")
        os.write(stream.fileno(), b"\x17\x03\x03\x00\x20" + b"no record of this session at all")
        return False

    server = serve(broken, reply([0.5]), tls=tls)
    with opened(server.uri, ca_file=str(tmp_path / "ca.pem")) as client:
        assert client.score([[1.5]]) == [0.5]
    assert len(server.requests) == 2


@pytest.mark.parametrize("headers", [b"X: " + b"y" * 70_000 + b"\r\n", b"X: y\r\n" * 101])
def test_headers_that_are_too_large_are_not_tried_again(serve: Serve, clock: Clock, headers: bytes) -> None:
    server = serve(close(b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n[0.5]"), reply([0.5]))
    error = failed(server.uri)
    assert isinstance(error, TransportError)
    assert (error.attempts, error.reason) == (1, "the headers of the reply are too large")


# Proves B30.
@pytest.mark.parametrize("option", ["connect_timeout", "attempt_timeout"])
def test_slow_connecting_is_tried_again(option: str) -> None:
    with hello_server(silence()) as uri:
        error = failed(uri, **{option: SOON}, max_retries=1, base_delay=0.001)
    assert isinstance(error, TransportError)
    assert (error.attempts, error.timed_out) == (2, True)
    assert str(error) == f"POST {uri}: no connection within 0.15 s (2 attempts)"


# Proves B31.
@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 2", OK, OK + b"[1.5"])
def test_a_slow_reply_is_not_tried_again(serve: Serve, start: bytes) -> None:
    server = serve(silence(start), reply([0.5]))
    error = failed(server.uri, attempt_timeout=SOON)
    assert isinstance(error, TransportError)
    assert (error.attempts, error.timed_out) == (1, True)
    assert str(error) == f"POST {server.uri}: no complete reply within 0.15 s (1 attempt)"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "headers", "requests"),
    [
        (429, [], 4),
        (503, [], 4),
        (500, [], 4),
        (502, [], 4),
        (500, [("x-ms-run-function-failed", "TRUE")], 1),
        (502, [("x-ms-run-function-failed", "true")], 1),
        (503, [("x-ms-run-function-failed", "true")], 4),
        (424, [("ms-azureml-model-error-reason", "model_not_ready")], 4),
        (424, [("ms-azureml-model-error-reason", "too_few_model_instance")], 4),
        (424, [("ms-azureml-model-error-statuscode", "429")], 4),
        (424, [("ms-azureml-model-error-statuscode", "500")], 1),
        *((status, [], 1) for status in (301, 307, 400, 401, 403, 404, 405, 408, 413, 415, 424, 431, 501, 504, 599)),
    ],
)
# Proves B42, B43, B44, B45, B46.
def test_statuses_that_are_tried_again(
    serve: Serve, clock: Clock, status: int, headers: list[tuple[str, str]], requests: int
) -> None:
    server = serve(*[reply({"message": "no"}, status, *headers)] * 5)
    error = failed(server.uri)
    assert isinstance(error, ServiceError)
    assert (error.status, error.attempts) == (status, requests)
    assert (len(server.requests), len(clock.slept)) == (requests, requests - 1)


# Proves B42, B43.
def test_retry_statuses_replace_the_list(serve: Serve, clock: Clock) -> None:
    server = serve(reply({}, 504), BUSY)
    error = failed(server.uri, retry_statuses=[504])
    assert isinstance(error, ServiceError)
    assert (error.status, error.attempts, len(clock.slept)) == (503, 2, 1)


# Proves B47.
@pytest.mark.parametrize("body", [b"", b"[", b"{}", b"[NaN]", b"[1, 2]", b" " * 100])
def test_wrong_answers_are_not_tried_again(serve: Serve, clock: Clock, body: bytes) -> None:
    server = serve(reply(body), reply([0.5]))
    error = failed(server.uri, max_reply_bytes=99)
    assert isinstance(error, ReplyError)
    assert (error.attempts, len(server.requests), clock.slept) == (1, 1, [])


# Proves B02.
def test_no_retries(serve: Serve, clock: Clock) -> None:
    server = serve(BUSY, reply([0.5]))
    assert failed(server.uri, max_retries=0).attempts == 1
    assert (len(server.requests), clock.slept) == (1, [])


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        (("Retry-After", "3"), 3.0),
        (("Retry-After", "0"), 0.8),
        (("retry-after-ms", "900"), 0.9),
        (("Retry-After", "Sun, 06 Nov 1994 08:49:07 GMT"), 7.0),
        (("Retry-After", "soon"), 0.8),
        (("Retry-After", "60"), 60.0),
    ],
)
# Proves B49.
def test_a_hint_is_the_least_that_is_waited(serve: Serve, clock: Clock, header: tuple[str, str], wait: float) -> None:
    with opened(serve(reply({}, 429, header), reply([0.5])).uri) as client:
        assert client.score([[1.5]]) == [0.5]
    assert clock.slept == [wait]


@pytest.mark.parametrize(
    ("options", "hint", "attempts"),
    [
        ({}, 61, 1),  # above max_delay
        ({}, 999999999999, 1),
        ({"max_delay": 2.0}, 3, 1),
        ({"timeout": 5.0}, 5, 1),  # would reach the deadline
        ({"timeout": 5.0}, 60, 1),
        ({}, 40, 3),  # the third wait would
    ],
)
# Proves B49.
def test_a_wait_that_is_too_long_ends_the_call(
    serve: Serve, clock: Clock, options: dict[str, Any], hint: int, attempts: int
) -> None:
    server = serve(*[reply({"message": "busy"}, 503, ("Retry-After", str(hint)))] * 4)
    error = failed(server.uri, **options)
    assert isinstance(error, ServiceError)
    assert (error.retry_after, error.attempts) == (min(hint, 999999999), attempts)
    assert len(clock.slept) == attempts - 1


# Proves B32.
def test_a_back_off_that_would_reach_the_deadline_is_not_begun(clock: Clock) -> None:
    with refused_port() as port:
        error = failed(f"http://127.0.0.1:{port}/score", timeout=2.0)
    assert isinstance(error, TransportError)
    assert (error.attempts, error.timed_out, clock.slept) == (2, False, [0.8])


# Proves B32.
def test_time_that_passed_while_waiting(serve: Serve, clock: Clock) -> None:
    clock.oversleeps = 200.0
    server = serve(BUSY, reply([0.5]))
    error = failed(server.uri)
    assert isinstance(error, TransportError)
    assert (error.attempts, error.timed_out) == (1, True)
    assert str(error) == f"POST {server.uri}: no complete reply within 100 s (1 attempt)"


# Proves B61.
@pytest.mark.parametrize(("headers", "seconds"), [([("Retry-After", "7")], 7.0), ([], None), ([("x", "7")], None)])
def test_retry_after_is_on_every_service_error(
    serve: Serve, headers: list[tuple[str, str]], seconds: float | None
) -> None:
    error = failed(serve(reply({}, 400, *headers)).uri)
    assert isinstance(error, ServiceError)
    assert error.retry_after == seconds


# Proves B02, B21.
def test_the_hook_is_told_before_each_wait(serve: Serve, clock: Clock) -> None:
    told: list[tuple[Retry, int]] = []
    server = serve(reply({"message": f"busy\n{KEY}"}, 503), close(), BUSY, BUSY)
    error = failed(server.uri, key=KEY, on_retry=lambda retry: told.append((retry, len(clock.slept))))
    assert error.attempts == 4
    assert told == [
        (Retry(1, 0.8, "503: busy ***"), 0),
        (Retry(2, 1.6, "the connection was closed before the reply"), 1),
        (Retry(3, 3.2, "503: busy"), 2),
    ]


# Proves B02.
def test_what_the_hook_raises_ends_the_call(serve: Serve, clock: Clock) -> None:
    class Enough(Exception):
        pass

    enough = Enough()

    def hook(_: Retry) -> None:
        raise enough

    server = serve(BUSY, BUSY)
    with opened(server.uri, on_retry=hook) as client, pytest.raises(Enough) as caught:
        client.score([[1.5]])
    assert caught.value is enough
    assert (len(server.requests), clock.slept) == (1, [])
