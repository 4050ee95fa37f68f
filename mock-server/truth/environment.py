"""Python environments for checks that need other people's packages: made once, kept below build/truth/."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "truth"


class Unavailable(Exception):
    """An environment cannot be had; the message is one line that says why."""


def ensure(name: str, requirements: Path, python: str = sys.executable) -> Path:
    """Return the interpreter of the virtual environment `build/truth/<name>/venv`, made if need be.

    It holds exactly what `requirements` lists, and is made again when that file or the interpreter changes. Raises
    Unavailable with pip's reason; its whole output is in `build/truth/<name>/install.log`.
    """
    folder = BUILD / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # `make test` and `make truth` may run side by side
        return _ensure(folder, requirements, python)


def _ensure(folder: Path, requirements: Path, python: str) -> Path:
    venv, stamp, log = folder / "venv", folder / "venv" / "made-from", folder / "install.log"
    interpreter = venv / "bin" / "python"
    version = subprocess.run([python, "-VV"], capture_output=True, text=True, check=True).stdout
    made_from = hashlib.sha256(version.encode() + requirements.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == made_from:
        return interpreter
    shutil.rmtree(venv, ignore_errors=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    pip = [str(interpreter), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    with log.open("w", encoding="utf-8") as output:
        for command in ([python, "-m", "venv", str(venv)], [*pip, "-r", str(requirements)]):
            done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, env=environment, check=False)
            if done.returncode:
                raise Unavailable(_reason(log))
    stamp.write_text(made_from)
    return interpreter


def _reason(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.upper().startswith("ERROR")]
    return (errors or lines or ["the installation said nothing"])[-1]
