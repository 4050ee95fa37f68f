"""The quickstarts as a reader runs them: the README's command, the two variables, two numbers."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys

import pytest
from scoring_conformance.clients.environment import clean_environment
from scoring_conformance.paths import repository

COMMANDS = {
    "csharp": ("clients/csharp/quickstart", ["dotnet", "run", "quickstart.cs"]),
    "go": ("clients/go", ["go", "run", "./quickstart"]),
    "java": ("clients/java", ["java", "Quickstart.java"]),
    "python": ("clients/python", [sys.executable, "quickstart.py"]),
}


@pytest.fixture(params=COMMANDS)
def run(request):
    """Run one quickstart. Where its program is missing it is not run; if required, `make test` fails elsewhere."""
    folder, command = COMMANDS[request.param]
    if shutil.which(command[0]) is None:
        pytest.skip(f"not run: `{command[0]}` is not on PATH")

    def start(**variables):
        go = {name: value for name, value in os.environ.items() if name.startswith("GO")}
        return subprocess.run(
            command,
            cwd=repository() / folder,
            env=clean_environment({**go, **variables}),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return start


@pytest.fixture
def service(mock):
    made = mock.create([{"name": "quickstart", "profile": "aks-v1", "auth": "key"}])[0]
    yield made
    mock.drop(["quickstart"])


def test_it_prints_the_articles_two_numbers(run, service, mock):
    ran = run(SCORING_URI=service["uris"]["http"]["scoring"], SCORING_KEY=service["primary_key"])
    assert ran.stdout == "[217.67978776218715, 224.78937091757172]\n", ran.stderr
    assert ran.returncode == 0
    (request,) = mock.journals(["quickstart"])["quickstart"]["requests"]
    assert f"Authorization: Bearer {service['primary_key']}" in request["header_lines"]


def test_a_wrong_key_is_one_line_with_the_status_and_without_the_key(run, service):
    ran = run(SCORING_URI=service["uris"]["http"]["scoring"], SCORING_KEY="not-the-key-of-this-service")
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert "401" in ran.stderr
    assert "not-the-key-of-this-service" not in ran.stderr
    assert len(told(ran)) == 1


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ({"status": 302, "headers": [["Location", "/"]]}, "302"),
        ({"headers": [["Content-Type", "text/html"]], "body": {"text": "<html>Sign in</html>"}}, "not "),
        ({"body": {"json": {"error": "no model"}}}, "not "),
        ({"fault": {"kind": "silence"}}, "(?i)timeout|1 s"),  # each platform has its own word
    ],
    ids=["redirect", "page", "object", "no reply in time"],
)
def test_whatever_comes_in_place_of_predictions_is_one_clear_line(run, mock, reply, said):
    (made,) = mock.create([{"name": "odd", "profile": "aks-v1", "auth": "off", "replies": [reply]}])
    try:
        ran = run(SCORING_URI=made["uris"]["http"]["scoring"], SCORING_TIMEOUT="1")
        requests = mock.journals(["odd"])["odd"]["requests"]
    finally:
        mock.drop(["odd"])
    assert ran.returncode == 1
    assert ran.stdout == ""
    (line,) = told(ran)
    assert re.search(said, line)
    assert len(requests) == 1


def test_without_a_server_it_is_one_clear_line(run):
    with socket.socket() as nobody:  # bound and not listening: refused, and nobody else can take the port
        nobody.bind(("127.0.0.1", 0))
        ran = run(SCORING_URI=f"http://127.0.0.1:{nobody.getsockname()[1]}/score")
    assert ran.returncode == 1
    assert ran.stdout == ""
    (line,) = told(ran)
    assert line.startswith("cannot reach ")


def test_without_a_uri_it_is_one_clear_line(run):
    ran = run()
    assert ran.returncode == (
        1 if "exit status 2" in ran.stderr else 2
    )  # `go run` makes 1 of every status, and says so
    (line,) = told(ran)
    assert "SCORING_URI" in line


def told(ran):
    """What the program itself wrote: `go run` adds a line of its own."""
    return [line for line in ran.stderr.splitlines() if not line.startswith("exit status ")]
