"""The container leg leaves nothing behind, however a run ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest
from scoring_conformance.mock import container
from scoring_conformance.mock.admin import Mock
from scoring_conformance.paths import repository
from scoring_conformance.problems import UsageProblem


@pytest.fixture(scope="module")
def client():
    try:
        return container.engine()
    except UsageProblem as problem:
        pytest.skip(f"not run: {problem}")  # with REQUIRE=docker, `make test` fails elsewhere


def labelled(client, owner=""):
    label = f"{container.OWNER}={owner}" if owner else container.LABEL
    return client.containers.list(all=True, filters={"label": label})


def of_process(client, pid):
    start = f"{socket.gethostname()}:{pid}:"
    return [c for c in labelled(client) if c.labels[container.OWNER].startswith(start)]


def test_a_mock_in_a_container_is_up_healthy_and_gone_when_closed(client):
    mock = container.container_mock()
    assert isinstance(mock, Mock)
    assert mock.create([{"name": "c1", "profile": "container", "auth": "off"}])[0]["name"] == "c1"
    assert len(of_process(client, os.getpid())) == 1
    mock.close()
    assert of_process(client, os.getpid()) == []


HOLD = """
import sys
from scoring_conformance.mock.container import container_mock
import signal
def end(number, frame): raise SystemExit(143)
signal.signal(signal.SIGTERM, end)
mock = container_mock()
print("up", flush=True)
if sys.argv[1] == "crash":
    raise RuntimeError("the suite crashed")
try:
    sys.stdin.read()
finally:
    if sys.argv[1] == "orderly":
        mock.close()
"""


def hold(how):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=repository(),
        text=True,
    )
    assert process.stdout.readline() == "up\n", process.stderr.read()
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_no_container(client, number):
    process = hold("signal")
    process.send_signal(number)
    process.communicate(timeout=60)
    assert of_process(client, process.pid) == []


def test_a_crash_leaves_no_container(client):
    process = hold("crash")
    _, err = process.communicate(timeout=60)
    assert "the suite crashed" in err
    assert of_process(client, process.pid) == []


def test_what_a_killed_run_left_is_swept_and_what_lives_is_not(client):
    killed, alive = hold("signal"), hold("orderly")
    killed.kill()
    killed.wait()
    assert len(of_process(client, killed.pid)) == 1
    removed = container.sweep(client)
    assert len(removed) == 1
    assert of_process(client, killed.pid) == []
    assert len(of_process(client, alive.pid)) == 1
    alive.communicate("", timeout=60)
    assert of_process(client, alive.pid) == []
