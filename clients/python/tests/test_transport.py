"""No answer, or not all of it: the network and the clock (B30-B34, B40, B64)."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import scoring_client
import trustme
from raw_server import PATIENCE, Play, RawServer, close, drip, eventually, raw, refused_port, reply, reset, silence
from scoring_client import ScoringClient, ServiceError, TransportError

Serve = Callable[..., RawServer]
SOON = 0.15  # seconds: a limit that is meant to pass
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def failed(uri: str, **options: Any) -> TransportError:
    with ScoringClient(uri, **{"max_retries": 0, **options}) as client, pytest.raises(TransportError) as caught:
        client.score([[1.5]])
    assert caught.value.attempts == 1
    assert caught.value.__cause__ is not None
    return caught.value


# Proves B40, B64.
def test_refused() -> None:
    with refused_port() as port:
        uri = f"http://127.0.0.1:{port}/score"
        error = failed(uri + "?code=secret")
    assert not error.timed_out
    assert str(error) == f"POST {uri}: connection refused (1 attempt)"


# Proves B40.
def test_name_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_found(*_: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", not_found)
    error = failed("http://service.test/score")
    assert not error.timed_out
    assert str(error) == "POST http://service.test/score: the host name cannot be resolved (1 attempt)"


# Proves B40.
def test_name_that_cannot_be_one() -> None:
    error = failed("http://a..b/score")
    assert (error.timed_out, error.reason) == (False, "the host name cannot be resolved")


@pytest.mark.parametrize(
    ("play", "text"),
    [
        (close(), "the connection was closed before the reply"),
        (reset(), "the connection was reset"),
        (close(b"HTTP/1.1 200"), "the connection was closed before the reply"),
        (close(b"HTTP/1.1 200 OK\r\n"), "the connection was closed before the reply"),
        (close(b"HTTP/1.1 200 OK\r\nContent-Le"), "the connection was closed before the reply"),
        (close(b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n[1.5]"), "the reply is not valid HTTP"),
        (close(b"HTTP/1.1 200 OK\r\n folded first\r\n\r\n[1.5]"), "the reply is not valid HTTP"),
        (close(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n"), "the connection was closed before the reply"),
        (close(b"garbage\r\n\r\n"), "the reply is not valid HTTP"),
        (close(b"HTTP/2.0 200 OK\r\n\r\n[1.5]"), "the reply is not valid HTTP"),
        (close(b"HTTP/1.1 abc OK\r\n\r\n[1.5]"), "the reply is not valid HTTP"),
        (close(b"HTTP/1.1 1000 OK\r\n\r\n[1.5]"), "the reply is not valid HTTP"),
        (close(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n[1.5]"), "the headers of the reply are too large"),
        (close(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101 + b"\r\n[1.5]"), "the headers of the reply are too large"),
        (
            close(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n[1.5]"),
            "the reply is not valid HTTP",
        ),
        (close(OK + b"[1.5"), "the reply was cut off"),
        (reset(OK + b"[1.5"), None),  # the reset may overtake what was sent before it
    ],
)
# Proves B40, B64.
def test_no_whole_reply(serve: Serve, play: Play, text: str | None) -> None:
    server = serve(play)
    error = failed(server.uri)
    assert not error.timed_out
    if text is not None:
        assert str(error) == f"POST {server.uri}: {text} (1 attempt)"
    assert len(server.requests) == 1


def test_a_failure_leaves_the_client_usable(serve: Serve) -> None:
    server = serve(close(), reset(), close(OK + b"[1.5"), raw(b"garbage\r\n\r\n"), reply([0.5]))
    with ScoringClient(server.uri, max_retries=0) as client:
        for _ in range(4):
            with pytest.raises(TransportError):
                client.score([[1.5]])
        assert client.score([[1.5]]) == [0.5]
    assert len(server.requests) == 5


@pytest.mark.parametrize(
    "play",
    [
        silence(),
        silence(b"HTTP/1.1 2"),
        silence(b"HTTP/1.1 200 OK\r\nX: "),
        silence(OK + b"[1.5"),
        silence(CHUNKED + b"5\r\n[1.5]"),
        drip(b"HTTP/1.1 200 OK\r\nX: ", b"y"),
        drip(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        drip(b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
        drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b" "),
        drip(b"HTTP/1.1 200 OK\r\n\r\n", b" "),
        drip(CHUNKED, b"1\r\n \r\n"),
        drip(CHUNKED + b"5;x=", b"y"),
        drip(CHUNKED + b"5\r\n[1.5]\r\n0\r\nTrailer: ", b"y"),
    ],
)
# Proves B31, B32, B34.
def test_timeout_bounds_the_whole_call(serve: Serve, play: Play) -> None:
    """The server answers until the client hangs up: a client that limits single waits only would never end."""
    server = serve(reply([0.5]), play)
    with ScoringClient(server.uri) as client:
        client.score([[1.5]])  # so that connecting is not part of what is timed
        with pytest.raises(TransportError) as caught:
            client.score([[1.5]], timeout=SOON)
    assert caught.value.timed_out
    assert str(caught.value) == f"POST {server.uri}: no complete reply within 0.15 s (1 attempt)"
    assert server.hung_up.wait(PATIENCE)


# Proves B32.
def test_timeout_bounds_sending() -> None:
    """The server reads a little again and again: no single wait of the client is long."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def read_slowly() -> None:
            peer, _ = listener.accept()
            with peer:
                while not done.wait(0.02) and peer.recv(4096):
                    pass

        done = threading.Event()
        thread = threading.Thread(target=read_slowly)
        thread.start()
        client = ScoringClient(f"http://127.0.0.1:{listener.getsockname()[1]}/score")
        with client, pytest.raises(TransportError) as caught:
            client.score_bytes(b"x" * 20_000_000, timeout=SOON)
        done.set()
        thread.join(PATIENCE)
    assert caught.value.timed_out


# Proves B34.
def test_timeout_of_one_call_only_shortens(serve: Serve) -> None:
    with (
        ScoringClient(serve(silence()).uri, timeout=SOON) as client,
        pytest.raises(TransportError, match=r"within 0\.15 s"),
    ):
        client.score([[1.5]], timeout=PATIENCE)


# Proves B30.
def test_connect_timeout_bounds_the_name_look_up(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve()
    answered = threading.Event()
    look_up = socket.getaddrinfo

    def slow(host: str, *rest: Any) -> Any:
        assert answered.wait(PATIENCE)
        return look_up("127.0.0.1", *rest)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    error = failed(f"http://service.test:{server.port}/score", connect_timeout=SOON)
    assert error.timed_out
    assert "no connection within 0.15 s" in str(error)
    answered.set()
    assert server.hung_up.wait(PATIENCE)  # the connection that came too late is closed
    assert server.requests == []


# Proves B30.
def test_connect_timeout_bounds_tcp() -> None:
    with ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(4):  # fill the queue that nobody accepts from
            filler = sockets.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(address)
        error = failed(f"http://127.0.0.1:{address[1]}/score", connect_timeout=SOON)
    assert error.timed_out
    assert "no connection within 0.15 s" in str(error)


# Proves B30.
@pytest.mark.parametrize("play", [silence(), drip(b"\x16\x03\x03\x3f\xff", b"\x02")])
def test_connect_timeout_bounds_the_tls_handshake(play: Play) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve_one() -> None:
        peer, _ = listener.accept()
        with peer:
            peer.settimeout(PATIENCE)
            peer.recv(65536)
            try:
                while play(peer) and peer.recv(65536):
                    pass
            except OSError:
                pass

    thread = threading.Thread(target=serve_one)
    with listener:
        thread.start()
        error = failed(f"https://127.0.0.1:{listener.getsockname()[1]}/score", connect_timeout=SOON)
        thread.join(PATIENCE)
    assert not thread.is_alive()
    assert error.timed_out
    assert "no connection within 0.15 s" in str(error)


# Proves B32.
def test_timeout_shorter_than_connect_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        error = failed(f"https://127.0.0.1:{listener.getsockname()[1]}/score", timeout=SOON)
    assert error.timed_out
    assert "no connection within 0.15 s" in str(error)


def test_connect_timeout_does_not_bound_the_reply(serve: Serve) -> None:
    released = threading.Event()

    def slow(stream: socket.socket) -> bool:
        assert released.wait(PATIENCE)
        stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n[0.5]")
        return True

    server = serve(slow)
    timer = threading.Timer(2 * SOON, released.set)
    timer.start()
    with ScoringClient(server.uri, connect_timeout=SOON, max_retries=0) as client:
        assert client.score([[1.5]]) == [0.5]
    timer.join()


@pytest.mark.parametrize(("over", "ending"), [("http", "orderly"), ("http", "abrupt"), ("https", "orderly")])
def test_an_early_refusal_of_a_large_body_arrives(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, over: str, ending: str
) -> None:
    """The service answers 413 to the headers and closes while megabytes are still to come."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)

    def refuse() -> None:
        accepted, _ = listener.accept()
        with tls.wrap_socket(accepted, server_side=True) if over == "https" else accepted as peer:
            peer.settimeout(PATIENCE)
            peer.recv(1024)
            peer.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
            if ending == "orderly":
                peer.shutdown(socket.SHUT_WR)
                while peer.recv(65536):
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse)
        thread.start()
        client = ScoringClient(f"{over}://127.0.0.1:{listener.getsockname()[1]}/score")
        with client, pytest.raises(ServiceError, match="413: no"):
            client.score_bytes(b"x" * 10_000_000)
        thread.join(PATIENCE)


def test_a_tls_connection_that_ended_while_sending_is_still_read() -> None:
    """Where http gives BrokenPipeError, after which urllib3 reads the reply, some Pythons give SSLEOFError over TLS."""

    class Ending(socket.socket):
        def send(self, *_: Any) -> int:
            raise ssl.SSLEOFError(8, "EOF occurred in violation of protocol")

    class Ended(scoring_client._Socket, Ending):
        pass

    scoring_client._current.whole = scoring_client._Limit(time.monotonic() + PATIENCE, PATIENCE)
    scoring_client._current.stage = scoring_client._WAITING
    with Ended() as stream, pytest.raises(BrokenPipeError):
        stream.send(b"x")


CALL = """
import os, signal, socket, sys, threading
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
sys.path.insert(0, sys.argv[1])
from scoring_client import ScoringClient

def ready(*_):
    os.write(1, b"ready\\n")  # a daemon thread that is inside print() when Python ends would crash it

def wait(*_):
    ready()
    threading.Event().wait()

if sys.argv[3] == "connecting":
    socket.getaddrinfo = wait
options = {
    "waiting for a token": {"token_provider": wait},
    "between attempts": {"on_retry": ready, "base_delay": 30},
}
with ScoringClient(sys.argv[2], **options.get(sys.argv[3], {})) as client:
    client.score([[1.5]])
"""


# Proves B33.
@pytest.mark.parametrize(
    "stage", ["waiting for a token", "connecting", "shaking hands", "waiting", "body", "between attempts"]
)
def test_control_c_ends_a_call_and_closes_its_connection(serve: Serve, stage: str) -> None:
    asked = threading.Event()

    def watched(stream: socket.socket) -> bool:
        asked.set()
        plays = {"body": drip(OK, b" "), "between attempts": reply({}, 503)}
        return plays.get(stage, silence())(stream)

    in_tls = stage == "shaking hands"
    server = serve(watched, **({"reads": lambda stream: stream.recv(65536)} if in_tls else {}))
    uri = server.uri.replace("http:", "https:") if in_tls else server.uri
    folder = str(Path(__file__).resolve().parent.parent)
    process = subprocess.Popen(
        [sys.executable, "-c", CALL, folder, uri, stage],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": os.environ["PATH"]},
    )
    with process:
        if stage in ("waiting for a token", "connecting", "between attempts"):
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        else:
            assert asked.wait(PATIENCE)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
    assert errors.strip().endswith(b"KeyboardInterrupt")
    assert eventually(lambda: server.still_open == 0)
    assert len(server.requests) <= 1
