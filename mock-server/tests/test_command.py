"""The command as a user and as a suite run it: first line, exit codes, signals, ports."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shlex
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from scoring_mock.profiles.catalogue import PROFILES
from scoring_mock.serve import FAULTS

HANG = 20.0  # seconds: a limit for hangs, not an expectation
COMMAND = [sys.executable, "-m", "scoring_mock"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "TMPDIR", "LANG")}


@contextlib.contextmanager
def started(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        **options,
    )
    try:
        yield process
    finally:
        process.terminate()  # it removes the file of its authority
        try:
            process.communicate(timeout=HANG)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise


def first_line(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line: dict[str, Any] = json.loads(process.stdout.readline())
    return line


def sheet(process: subprocess.Popen[str]) -> str:
    """Return what `serve` prints when it is ready."""
    assert process.stdout is not None
    text = ""
    while "Ctrl-C" not in text:
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        text += line
    return text


def call(url: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=HANG)
    data = None if body is None else json.dumps(body)
    connection.request(
        "GET" if body is None else "POST", parts.path, data, {"Content-Type": "application/json", **headers}
    )
    reply = connection.getresponse()
    answer = json.loads(reply.read())
    connection.close()
    return reply.status, answer


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=HANG, env=ENVIRONMENT, check=False
    )


# --- run -----------------------------------------------------------------------------------------------------------


def test_run_says_where_it_listens_in_its_first_line() -> None:
    with started("run") as process:
        info = first_line(process)
        assert info["pid"] == process.pid
        assert re.fullmatch("[0-9a-f]{32}", info["server_id"])
        for name in ("http", "https", "https-tls13", "https-wrong-host", "https-expired", "https-unknown-ca", "admin"):
            parts = urlsplit(info["listeners"][name])
            assert (parts.scheme, parts.hostname) == ("https" if name.startswith("https") else "http", "127.0.0.1")
        assert Path(info["ca_file"]).read_text() == info["ca_pem"]
        assert call(info["listeners"]["admin"] + "/info") == (200, info)
        process.terminate()
        assert process.wait(HANG) == 0
    assert not Path(info["ca_file"]).exists()


def test_two_servers_have_two_ids() -> None:
    with started("run", "--listeners", "admin") as one, started("run", "--listeners", "admin") as two:
        assert first_line(one)["server_id"] != first_line(two)["server_id"]


def test_listeners_can_be_chosen_and_plain_http_needs_no_certificates() -> None:
    with started("run", "--listeners", "http,admin") as process:
        info = first_line(process)
    assert set(info["listeners"]) == {"http", "admin"}
    assert "ca_file" not in info


def test_it_ends_with_standard_input() -> None:
    with started("run", "--exit-with-stdin", "--listeners", "http,admin") as process:
        first_line(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(HANG) == 0
        process.stdin = None


def test_without_the_option_it_outlives_standard_input() -> None:
    with started("run", "--listeners", "http,admin") as process:
        info = first_line(process)
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
        assert call(info["listeners"]["admin"] + "/info")[0] == 200
        assert process.poll() is None


def test_a_killed_parent_leaves_nothing_behind() -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess, sys, time\n"
            f"child = subprocess.Popen({[*COMMAND, 'run', '--exit-with-stdin', '--listeners', 'http,admin']!r}, "
            "stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
            "print(child.stdout.readline().decode(), flush=True)\n"
            "time.sleep(600)",
        ],
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    assert parent.stdout is not None
    info = json.loads(parent.stdout.readline())
    parent.kill()
    parent.communicate(timeout=HANG)
    end = time.monotonic() + HANG
    with contextlib.suppress(ConnectionRefusedError):
        while True:
            assert time.monotonic() < end, "it is still there"
            socket.create_connection(("127.0.0.1", urlsplit(info["listeners"]["http"]).port), timeout=HANG).close()
            time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_also_in_the_middle_of_replies(number: signal.Signals) -> None:
    with started("run", "--listeners", "http,admin") as process:
        info = first_line(process)
        replies = [{"delay": 3600}, {"fault": {"kind": "endless-body"}}, {"body": {"text": "x", "repeat": 100_000_000}}]
        spec = {"profile": "aks-v1", "auth": "off", "replies": replies}
        service = call(info["listeners"]["admin"] + "/services", {"services": [spec]})[1]["services"][0]
        connections = []
        for _ in replies:
            sock = socket.create_connection(("127.0.0.1", urlsplit(info["listeners"]["http"]).port), timeout=HANG)
            sock.sendall(f"POST {service['scoring_path']} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
            connections.append(sock)
        connections[1].recv(1)
        connections[2].recv(1)
        process.send_signal(number)
        started_ending = time.monotonic()
        _, errors = process.communicate(timeout=HANG)
        took = time.monotonic() - started_ending
        for sock in connections:
            sock.close()
    assert process.returncode == 0
    assert errors == ""
    assert took < 10  # a second is the aim; what is checked is that nothing keeps it for as long as it likes


def test_ports_come_from_a_range() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        first = min(probe.getsockname()[1], 65000)
    span = range(first, first + 100)
    with started("run", "--ports", f"{span.start}-{span.stop - 1}", "--listeners", "http,admin") as process:
        info = first_line(process)
        made = call(info["listeners"]["admin"] + "/services", {"services": [{"profile": "container"}] * 3})[1][
            "services"
        ]
        uris = [*info["listeners"].values(), *(service["uris"]["http"]["scoring"] for service in made)]
        ports = [urlsplit(uri).port for uri in uris]
    assert len(set(ports)) == 5
    assert all(port in span for port in ports)


def test_a_range_that_is_used_up_is_one_clear_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run("run", "--ports", f"{port}-{port}")
    assert result.returncode == 2
    assert result.stderr == f"scoring-mock: no port is free in {port}-{port}; give a wider --ports\n"


def test_on_all_interfaces_the_addresses_can_be_used() -> None:
    with started("run", "--host", "0.0.0.0", "--admin-host", "0.0.0.0", "--listeners", "http,admin") as process:
        info = first_line(process)
        assert info["listeners"]["http"].startswith("http://127.0.0.1:")
        port = urlsplit(info["listeners"]["admin"]).port
        assert call(f"http://127.0.0.1:{port}/info", None, Host="172.17.0.2:8080")[0] == 200
        assert call(f"http://127.0.0.1:{port}/info", None, Host="rebound.example")[0] == 403


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--ports", "9-"], "argument --ports: '9-' is no range of ports; expected for example 9000-9099"),
        (["run", "--listeners", "http,ftp"], "argument --listeners: there is no listener 'ftp'; there are http, "),
        (["run", "--host", "192.0.2.1"], "cannot listen on 192.0.2.1: Cannot assign requested address"),
        (["run", "--host", "no-such-host.invalid"], "cannot listen on no-such-host.invalid: "),
        (["serve", "--port", "70000"], "argument --port: '70000' is no port; expected 0 to 65535"),
        (
            ["serve", "--auth", "token", "--profile", "aci-v1"],
            "the profile aci-v1 has no authentication 'token', only ",
        ),
        (["serve", "--faults", "busy,lazy"], "argument --faults: there is no fault 'lazy'; there are busy, "),
        (["serve", "--name", "No Name", "--port", "0"], "services[0].name must be 1 to 64 of a-z, 0-9 and -"),
        (["serve", "--journal", "/nowhere/x"], "--journal: cannot write /nowhere/x: No such file or directory"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert re.match("scoring-mock( run| serve)?: ", result.stderr)
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_version() -> None:
    result = run("--version")
    assert result.returncode == 0
    assert re.fullmatch(r"scoring-mock \d+\.\d+\.\d+\n", result.stdout)


# --- serve ---------------------------------------------------------------------------------------------------------


def curl_of(text: str) -> list[str]:
    [line] = [line for line in text.splitlines() if line.startswith("  curl ")]
    return shlex.split(line)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--profile", "aks-v1"],
        ["--auth", "token"],
        ["--auth", "off"],
        ["--tls"],
        ["--profile", "k8s-v2", "--tls"],
        ["--profile", "container"],
    ],
)
def test_the_printed_curl_line_works_as_it_is(arguments: list[str]) -> None:
    with started("serve", "--port", "0", *arguments) as process:
        text = sheet(process)
        result = subprocess.run(
            [*curl_of(text), "-sS"], capture_output=True, text=True, timeout=HANG, env=ENVIRONMENT, check=False
        )
        assert (result.stdout, result.stderr) == ("[5215.198131579871, 3726.9954859385753]", "")
        process.send_signal(signal.SIGINT)
        assert process.wait(HANG) == 0


def test_the_port_is_the_one_that_was_asked_for() -> None:
    for profile in ("managed-v2", "aks-v1"):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with started("serve", "--port", str(port), "--profile", profile) as process:
            assert f"scoring URI  http://127.0.0.1:{port}/" in sheet(process)


def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for profile in ("managed-v2", "aks-v1"):
            result = run("serve", "--port", str(port), "--profile", profile)
            assert result.returncode == 2
            assert result.stderr == (
                f"scoring-mock: cannot listen on 127.0.0.1:{port}: Address already in use; "
                "choose another port, or end the program that has it\n"
            )


def test_every_second_request_fails_when_faults_are_asked_for() -> None:
    with started("serve", "--port", "0", "--auth", "off", "--faults", "busy,reset,error-in-200") as process:
        text = sheet(process)
        url = curl_of(text)[1]
        outcomes: list[Any] = []
        for _ in range(8):
            try:
                outcomes.append(call(url, {"data": [[0] * 10]})[0])
            except ConnectionResetError:
                outcomes.append("reset")
    assert outcomes == [200, 503, 200, "reset", 200, 200, 200, 503]
    assert "busy         503 with Retry-After: 1" in text


def test_faults_come_only_after_authentication() -> None:
    with started("serve", "--port", "0", "--faults", "reset") as process:
        url = curl_of(sheet(process))[1]
        for _ in range(3):
            sock = socket.create_connection(("127.0.0.1", urlsplit(url).port), timeout=HANG)
            sock.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            assert sock.recv(100).startswith(b"HTTP/1.1 401 ")
            sock.close()


def test_the_journal_is_kept_in_a_file_that_is_its_owners(tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    for number in range(2):
        with started("serve", "--port", "0", "--auth", "off", "--journal", str(file)) as process:
            url = curl_of(sheet(process))[1]
            for _ in range(2):
                call(url, {"data": [[number] * 10]})
            process.terminate()
            assert process.wait(HANG) == 0
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["seq"] for line in lines] == [0, 1, 0, 1]
    assert all(line["service"] == "diabetes" and line["answered"]["status"] == 200 for line in lines)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_readme_names_all_faults_and_profiles() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z0-9-]+)` \| (.+?) \|", text, re.MULTILINE))
    assert {name: rows.get(name) for name in FAULTS} == {name: words for name, (words, _) in FAULTS.items()}
    for name, profile in PROFILES.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{name}` |")).split(" | ")
        assert row[2] == ", ".join(profile.auth_modes)
        assert row[3] == f"`{profile.base.replace('{name}', 'NAME')}/score`"


def test_it_survives_without_descriptors() -> None:
    limited = ["bash", "-c", 'ulimit -n 40; exec "$0" "$@"', *COMMAND, "run", "--listeners", "http,admin"]
    process = subprocess.Popen(limited, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    try:
        info = first_line(process)
        port = urlsplit(info["listeners"]["http"]).port
        crowd = [socket.create_connection(("127.0.0.1", port), timeout=HANG) for _ in range(60)]
        for sock in crowd:
            sock.close()
        assert call(info["listeners"]["admin"] + "/info") == (200, info)
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=HANG)
    assert errors == ""
