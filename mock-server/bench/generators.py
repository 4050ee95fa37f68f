"""Load generators, always in a process of their own: wrk where it is on PATH, else our own."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class LoadError(Exception):
    """The load was not what it should be; the message says why."""


@dataclass(frozen=True)
class Target:
    """One request that is sent over and over."""

    host: str
    port: int
    path: str
    headers: dict[str, str]
    body: bytes

    def raw(self) -> bytes:
        """Return the request as bytes."""
        fields = {"Host": f"{self.host}:{self.port}", **self.headers, "Content-Length": str(len(self.body))}
        lines = [f"POST {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


@dataclass(frozen=True)
class Load:
    """What a generator did."""

    requests: int
    seconds: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


class Generator(Protocol):
    """Something that makes load."""

    name: str

    def run(self, target: Target, connections: int, seconds: float) -> Load:
        """Send the request for some seconds on so many connections. Raises LoadError for any reply but 200."""
        ...


class Wrk:
    """The program wrk, one thread."""

    name = "wrk"

    def run(self, target: Target, connections: int, seconds: float) -> Load:
        """Run it and read its report."""
        quoted = json.dumps(target.body.decode())
        script = [f'wrk.method = "POST"\nwrk.body = {quoted}\n']
        script += [f'wrk.headers["{name}"] = {json.dumps(value)}\n' for name, value in target.headers.items()]
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
            file.write("".join(script))
            file.flush()
            url = f"http://{target.host}:{target.port}{target.path}"
            whole = max(1, round(seconds))
            command = ["wrk", "-t1", f"-c{connections}", f"-d{whole}s", "--timeout", "10s", "-s", file.name, url]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        count = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m)", done.stdout)
        if done.returncode or count is None:
            raise LoadError(f"wrk failed: {(done.stderr or done.stdout).strip()}")
        if trouble := re.search(r"Non-2xx or 3xx responses: \d+|Socket errors: .*", done.stdout):
            raise LoadError(f"{target.path}: {trouble[0]}")
        return Load(int(count[1]), float(count[2]) * {"ms": 0.001, "s": 1, "m": 60}[count[3]])


class Own:
    """load.py beside this file."""

    def __init__(self, name: str) -> None:
        """Take the name that is printed."""
        self.name = name

    def run(self, target: Target, connections: int, seconds: float) -> Load:
        """Run it in a process of its own."""
        script = Path(__file__).with_name("load.py")
        command = [sys.executable, str(script), target.host, str(target.port), str(connections), str(seconds)]
        done = subprocess.run(command, input=target.raw(), capture_output=True, check=False)
        if done.returncode:
            raise LoadError(f"load.py failed: {done.stderr.decode().strip()}")
        report = json.loads(done.stdout)
        if report["errors"]:
            raise LoadError(f"{target.path}: {report['errors']} replies were not 200")
        return Load(report["requests"], report["seconds"])


def choose(name: str) -> Generator:
    """Return the generator of that name (`wrk`, `own`), for `auto` the better one that is there. Raises LoadError."""
    if name == "own":
        return Own("own generator")
    if shutil.which("wrk"):
        return Wrk()
    if name == "wrk":
        raise LoadError("wrk is not on PATH")
    return Own("own generator, because wrk is not on PATH")
