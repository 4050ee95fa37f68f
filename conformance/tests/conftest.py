"""A mock for the tests that need one, and adapters made on the spot."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from scoring_conformance.clients.manifest import Manifest, read_manifest
from scoring_conformance.mock import Mock
from scoring_conformance.mock.embedded import embedded_mock


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_works() -> None:
    """Programs started from a background job inherit an ignored SIGINT, and the tests send one."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def mock() -> Iterator[Mock]:
    running = embedded_mock()
    yield running
    running.close()


PREAMBLE = """\
import json, os, sys, time
CLIENT = {"name": "made-up", "language": "Python", "language_version": "3", "http_library": "none"}
def hello(request):
    ok = {"protocol": 1, "level": 1, "client": CLIENT, "capabilities": [], "max_in_flight": 4}
    return {"id": request["id"], "ok": ok}
def say(message):
    print(json.dumps(message), flush=True)
def requests():
    for line in sys.stdin:
        request = json.loads(line)
        if request["op"] == "hello":
            say(hello(request))
        elif request["op"] != "score":
            say({"id": request["id"], "unsupported": request["op"]})
        else:
            yield request
"""


class MadeUp:
    """Makes an adapter from a few lines of Python; `requests()` yields the score requests and answers all others."""

    preamble = PREAMBLE

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, lines: str, *, preamble: str = PREAMBLE, name: str = "made-up") -> Manifest:
        folder = self._folder / name
        folder.mkdir()
        (folder / "adapter.py").write_text(preamble + lines, encoding="utf-8")
        (folder / "client.toml").write_text(
            f'name = "{name}"\nlanguage = "Python"\nrun = ["{{python}}", "adapter.py"]\n', encoding="utf-8"
        )
        return read_manifest(folder / "client.toml")


@pytest.fixture
def made_up(tmp_path: Path) -> MadeUp:
    return MadeUp(tmp_path)
