"""The second example as a reader runs it."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from raw_server import PATIENCE, Play, RawServer, reply, silence

Serve = Callable[..., RawServer]
FOLDER = Path(__file__).resolve().parent.parent
IMAGE = FOLDER.parent / "test-vectors" / "digit.pgm"
TOKEN = "Zk3vWq8RsT"


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    made = tmp_path / "token"
    made.write_text(f"{TOKEN}\n")
    return made


def start(token_file: Path | None, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
    if token_file is not None:
        variables["SCORING_TOKEN_FILE"] = str(token_file)
    # A shell's background job would ignore Ctrl-C, and so would what it starts.
    code = "import signal, runpy, sys; signal.signal(signal.SIGINT, signal.default_int_handler); sys.argv.pop(0); "
    code += "sys.path.insert(0, '.'); runpy.run_path(sys.argv[0], run_name='__main__')"
    return subprocess.Popen(
        [sys.executable, "-c", code, "example.py", *arguments],
        cwd=FOLDER,
        env={"PATH": os.environ["PATH"], **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(token_file: Path | None, *arguments: str, **variables: str) -> tuple[int, str, str]:
    with start(token_file, *arguments, **variables) as process:
        out, errors = process.communicate(timeout=PATIENCE)
    assert TOKEN not in out + errors
    return process.returncode, out, errors


def test_success(serve: Serve, token_file: Path) -> None:
    server = serve(reply(b'{"digit": 7}\n'))
    assert run(token_file, str(IMAGE), SCORING_URI=server.uri) == (0, '{"digit": 7}\n', "")
    [request] = server.requests
    assert request.body == IMAGE.read_bytes()
    assert request.header("Content-Type") == "image/x-portable-graymap"
    assert request.header("Authorization") == f"Bearer {TOKEN}"


def test_own_authority_and_a_logged_wait(serve: Serve, token_file: Path, tmp_path: Path) -> None:
    authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    busy = reply({"message": f"busy {TOKEN}"}, 503, ("retry-after-ms", "1"))
    server = serve(busy, reply([7]), tls=tls)
    status, out, errors = run(token_file, str(IMAGE), SCORING_URI=server.uri, SCORING_CA_FILE=str(tmp_path / "ca.pem"))
    assert (status, out) == (0, "[7]\n")
    assert errors.startswith("WARNING example: attempt 1: 503: busy ***; the next one in ")
    assert errors.count("\n") == 1


def test_a_token_that_was_replaced_in_the_file(serve: Serve, token_file: Path) -> None:
    def refuse(stream: socket.socket) -> bool:
        token_file.write_text("T2\n")
        return reply({}, 401)(stream)

    server = serve(refuse, reply([7]))
    assert run(token_file, str(IMAGE), SCORING_URI=server.uri)[0] == 0
    assert server.requests[1].header("Authorization") == "Bearer T2"


@pytest.mark.parametrize(
    ("play", "text"),
    [
        (reply({"message": "no"}, 400), "POST {uri}: 400: no (1 attempt)"),
        (reply(b"<html>"), "the token or the reply is not as it should be: Expecting value: line 1 column 1 (char 0)"),
        (silence(), "POST {uri}: no complete reply within 0.5 s (1 attempt)"),
    ],
)
def test_failures(serve: Serve, token_file: Path, play: Play, text: str) -> None:
    server = serve(play)
    status, out, errors = run(token_file, str(IMAGE), SCORING_URI=server.uri, SCORING_TIMEOUT="0.5")
    assert (status, out) == (1, "")
    assert errors.startswith(text.replace("{uri}", server.uri))


def test_wrong_input(serve: Serve, token_file: Path, tmp_path: Path) -> None:
    uri = serve().uri
    missing = str(tmp_path / "missing")
    for ran, status, text in [
        (run(token_file, SCORING_URI=uri), 2, "usage: python example.py IMAGE"),
        (run(token_file, str(IMAGE)), 2, "SCORING_URI is not set"),
        (run(None, str(IMAGE), SCORING_URI=uri), 2, "SCORING_TOKEN_FILE is not set"),
        (run(token_file, missing, SCORING_URI=uri), 2, "the image cannot be read: No such file or directory"),
        (run(token_file, str(IMAGE), SCORING_URI="x"), 2, "the scoring URI must be an absolute http or https URI"),
        (
            run(token_file, str(IMAGE), SCORING_URI=uri, SCORING_TIMEOUT="soon"),
            2,
            "SCORING_TIMEOUT must be a number of seconds",
        ),
        (
            run(token_file, str(IMAGE), SCORING_URI=uri, SCORING_CA_FILE=str(IMAGE)),
            2,
            "the CA file holds no certificate",
        ),
        (
            run(Path(missing), str(IMAGE), SCORING_URI=uri),
            1,
            "the token file cannot be read: No such file or directory",
        ),
    ]:
        assert ran == (status, "", f"{text}\n")


def test_control_c(serve: Serve, token_file: Path) -> None:
    asked = threading.Event()

    def never(_: socket.socket) -> bool:
        asked.set()
        return True

    server = serve(never)
    with start(token_file, str(IMAGE), SCORING_URI=server.uri) as process:
        assert asked.wait(PATIENCE)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, errors) == (130, "", "cancelled\n")
    assert server.hung_up.wait(PATIENCE)
