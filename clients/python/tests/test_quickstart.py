"""The quickstart as a reader runs it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from raw_server import Play, RawServer, close, refused_port, reply, silence

Serve = Callable[..., RawServer]
FOLDER = Path(__file__).resolve().parent.parent
KEY = "Zk3vWq8RsT"
PREDICTIONS = [217.67978776218715, 224.78937091757172]


def run(**variables: str) -> subprocess.CompletedProcess[str]:
    ran = subprocess.run(
        [sys.executable, "quickstart.py"],
        cwd=FOLDER,
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert KEY not in ran.stdout + ran.stderr
    return ran


def one_line(text: str) -> str:
    assert text.endswith("\n")
    assert text.count("\n") == 1
    return text[:-1]


def test_success(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login someone password else\n")
    (tmp_path / ".netrc").chmod(0o600)
    server = serve(reply(PREDICTIONS, 200, ("Content-Type", "application/json")))
    ran = run(SCORING_URI=server.uri, SCORING_KEY=KEY, HOME=str(tmp_path))
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "[217.67978776218715, 224.78937091757172]\n", "")
    [request] = server.requests
    assert request.line == "POST /score HTTP/1.1"
    assert request.header("Authorization") == f"Bearer {KEY}"
    assert request.header("Content-Type") == "application/json"
    data = json.loads(request.body)
    assert list(data) == ["data"]
    assert [(len(row), row[0], row[-1]) for row in data["data"]] == [
        (10, 0.0199132141783263, 0.0403433716478807),
        (10, -0.0127796318808497, 0.00720651632920303),
    ]


def test_without_a_key(serve: Serve) -> None:
    server = serve(reply(PREDICTIONS))
    assert run(SCORING_URI=server.uri).returncode == 0
    assert server.requests[0].header("Authorization") is None


@pytest.mark.parametrize(
    ("play", "text"),
    [
        (reply({"message": f"no such key:\n{KEY}"}, 401), '401: {"message": "no such key:\\n***"}'),
        (reply(b"busy", 503), "503: busy"),
        (reply(b"[1.5, 2.5]", 302, ("Location", "/elsewhere")), "302: [1.5, 2.5]"),
        (reply(b"[1.5, 2.5]", 304), "304: "),
        (reply({"error": "no model"}), 'the reply is not a JSON array: {"error": "no model"}'),
        (reply("[1.5, 2.5]"), 'the reply is not a JSON array: "[1.5, 2.5]"'),
        (reply(b"<html>\nSign in"), "the reply is not a JSON array: <html> Sign in"),
        (reply(b""), "the reply is not a JSON array:"),
        (close(), "cannot reach {uri}: ConnectionError"),
    ],
)
def test_failures(serve: Serve, play: Play, text: str) -> None:
    server = serve(play)
    ran = run(SCORING_URI=f"{server.uri}?code=secret", SCORING_KEY=KEY)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert one_line(ran.stderr).startswith(text.replace("{uri}", server.uri).strip())
    assert len(server.requests) == 1


def test_nobody_there() -> None:
    with refused_port() as port:
        ran = run(SCORING_URI=f"http://127.0.0.1:{port}/score", SCORING_KEY=KEY)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert one_line(ran.stderr) == f"cannot reach http://127.0.0.1:{port}/score: ConnectionError"


# Proves B32.
def test_no_answer_in_time(serve: Serve) -> None:
    server = serve(silence())
    ran = run(SCORING_URI=server.uri, SCORING_KEY=KEY, SCORING_TIMEOUT="0.2")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert one_line(ran.stderr) == f"cannot reach {server.uri}: ReadTimeout"


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({}, "SCORING_URI must be an absolute http or https URI, without user info or fragment"),
        ({"SCORING_URI": "/score"}, "SCORING_URI must be"),
        ({"SCORING_URI": "https://someone:hunter2@service.test/score"}, "SCORING_URI must be"),
        ({"SCORING_KEY": f"{KEY}\n"}, "SCORING_KEY has a character that cannot be sent in a header at position 10"),
        ({"SCORING_KEY": f"{KEY}é"}, "SCORING_KEY has a character"),
        ({"SCORING_TIMEOUT": "soon"}, "SCORING_TIMEOUT must be a number of seconds greater than 0"),
        ({"SCORING_TIMEOUT": "0"}, "SCORING_TIMEOUT must be"),
        ({"SCORING_TIMEOUT": "nan"}, "SCORING_TIMEOUT must be"),
        ({"SCORING_TIMEOUT": "inf"}, "SCORING_TIMEOUT must be"),
    ],
)
def test_wrong_variables(variables: dict[str, str], text: str) -> None:
    complete = {"SCORING_URI": "http://127.0.0.1:1/score", **variables} if variables else {}
    ran = run(**complete)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert one_line(ran.stderr).startswith(text)
