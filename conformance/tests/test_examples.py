"""The examples of real life, as their READMEs say to run them: token file, retry hook, image, Ctrl-C."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scoring_conformance.clients.environment import clean_environment
from scoring_conformance.mock import Mock
from scoring_conformance.paths import repository

PROGRAMS = {
    "csharp": "dotnet",
    "go": "go",
    "java": "mvn",
    "python": sys.executable,
}
IMAGE = repository() / "clients" / "test-vectors" / "digit.pgm"
PATIENCE = 120.0


class Example:
    """One language's example, built once."""

    def __init__(self, language: str, build: Path) -> None:
        clients = repository() / "clients"
        self.folder = clients / language
        self.command = {
            "csharp": ["dotnet", "run", "--no-build", "--project", "example", "--"],
            "go": [str(build / "example")],
            "java": ["java", "-cp", f"target/classes{os.pathsep}target/lib/*", "Example.java"],
            "python": [sys.executable, "example.py"],
        }[language]
        prepare = {
            # `go run` makes 1 of every exit status
            "go": ["go", "build", "-o", str(build / "example"), "./example"],
            "java": ["mvn", "-q", "-B", "process-classes"],
            "csharp": ["dotnet", "build", "-v", "q", "example"],
        }.get(language)
        if prepare:
            subprocess.run(prepare, cwd=self.folder, check=True, timeout=300)

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start it in a process group of its own, as a terminal does."""
        return subprocess.Popen(
            [*self.command, *arguments],
            cwd=self.folder,
            env=clean_environment(variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, **variables: str) -> tuple[int, str, list[str]]:
        """Run it to its end: status, output, lines on standard error."""
        return ended(self.start(*arguments, **variables))


def ended(process: subprocess.Popen[str]) -> tuple[int, str, list[str]]:
    output, errors = process.communicate(timeout=PATIENCE)
    return process.returncode, output, errors.splitlines()


@pytest.fixture(scope="module", params=PROGRAMS)
def example(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Example:
    """Where its program is missing it is not run; if required, `make test` fails elsewhere."""
    if shutil.which(PROGRAMS[request.param]) is None:
        pytest.skip(f"not run: `{PROGRAMS[request.param]}` is not on PATH")
    return Example(request.param, tmp_path_factory.mktemp(request.param))


class Service:
    """A service with tokens and the script that reads digits."""

    def __init__(self, mock: Mock, folder: Path, replies: list[dict[str, object]] | None = None) -> None:
        self.mock = mock
        spec = {"name": "example", "profile": "aks-v1", "auth": "token", "script": "digits"}
        made = mock.create([spec | ({"replies": replies} if replies else {})])[0]
        self.token = self.issue()
        self.token_file = folder / "token"
        self.token_file.write_text(self.token + "\n", encoding="ascii")
        self.variables = {
            "SCORING_URI": made["uris"]["https"]["scoring"],
            "SCORING_CA_FILE": mock.info["ca_file"],
            "SCORING_TOKEN_FILE": str(self.token_file),
        }

    def issue(self) -> str:
        return str(self.mock.act("example", {"act": "issue-token"})["token"])

    def requests(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = self.mock.journals(["example"])["example"]["requests"]
        return found

    def wait_for(self, what: Callable[[list[dict[str, object]]], bool], process: subprocess.Popen[str]) -> None:
        """Look at the journal until it is so."""
        deadline = time.monotonic() + PATIENCE
        while not what(self.requests()):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "it never came to that"
            time.sleep(0.02)


@pytest.fixture
def services(mock: Mock, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    made: list[Service] = []

    def make(replies: list[dict[str, object]] | None = None) -> Service:
        made.append(Service(mock, tmp_path, replies))
        return made[-1]

    yield make
    if made:
        mock.drop(["example"])


def test_it_sends_an_image_with_a_token_and_prints_the_answer(
    example: Example, services: Callable[..., Service]
) -> None:
    service = services()
    status, output, errors = example.run(str(IMAGE), **service.variables)
    assert (status, errors) == (0, [])
    assert json.loads(output)["digit"] == 7
    (request,) = service.requests()
    lines = request["header_lines"]
    assert f"Authorization: Bearer {service.token}" in lines
    assert "Content-Type: image/x-portable-graymap" in lines
    assert request["tls"] == "TLSv1.2"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a named pipe stands in for a token file that changes in time")
def test_an_expired_token_is_fetched_anew(example: Example, services: Callable[..., Service]) -> None:
    service = services()
    service.mock.act("example", {"act": "expire-tokens"})
    service.token_file.unlink()
    os.mkfifo(service.token_file)
    process = example.start(str(IMAGE), **service.variables)
    service.token_file.write_text(service.token + "\n", encoding="ascii")  # waits for the reader
    service.wait_for(lambda requests: len(requests) == 1, process)
    fresh = service.issue()
    service.token_file.write_text(fresh + "\n", encoding="ascii")
    status, output, _ = ended(process)
    assert status == 0
    assert json.loads(output)["digit"] == 7
    refused, accepted = service.requests()
    assert f"Authorization: Bearer {service.token}" in refused["header_lines"]
    assert f"Authorization: Bearer {fresh}" in accepted["header_lines"]


def test_a_wait_is_one_line_in_the_log_without_the_token(example: Example, services: Callable[..., Service]) -> None:
    busy = {"status": 503, "headers": [["retry-after-ms", "1"]], "body": {"json": {"message": "busy"}}}
    service = services([busy, {"body": {"json": {"digit": 7}}}])
    status, output, errors = example.run(str(IMAGE), **service.variables)
    assert status == 0, errors
    assert json.loads(output) == {"digit": 7}
    (line,) = [line for line in errors if "503" in line]
    assert "busy" in line
    assert service.token not in "\n".join(errors)


def test_ctrl_c_ends_it_at_once(example: Example, services: Callable[..., Service]) -> None:
    service = services([{"fault": {"kind": "silence"}}])
    process = example.start(str(IMAGE), **service.variables)
    service.wait_for(lambda requests: len(requests) == 1, process)
    os.killpg(process.pid, signal.SIGINT)
    status, output, errors = ended(process)
    assert (status, output) == (130, "")
    assert any("cancelled" in line for line in errors), errors


def test_a_refusal_is_one_line_with_the_status(example: Example, services: Callable[..., Service]) -> None:
    service = services([{"status": 400, "body": {"json": {"message": "Expected a picture"}}}])
    status, output, errors = example.run(str(IMAGE), **service.variables)
    assert (status, output) == (1, "")
    (line,) = errors
    assert "400: Expected a picture" in line


@pytest.mark.parametrize("missing", ["SCORING_URI", "SCORING_TOKEN_FILE"])
def test_a_missing_variable_is_one_clear_line(example: Example, services: Callable[..., Service], missing: str) -> None:
    service = services()
    variables = {name: value for name, value in service.variables.items() if name != missing}
    status, output, errors = example.run(str(IMAGE), **variables)
    assert (status, output) == (2, "")
    (line,) = errors
    assert missing in line
    assert service.requests() == []
