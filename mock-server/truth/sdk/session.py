"""Run a scenario in an SDK's own environment, with nothing but what the page says to point the SDK at a mock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import environment
from differential.mock import Mock, MockError

PROVEN, FAILED, COULD_NOT_RUN = 0, 1, 3
TIMEOUT = 300.0


def settings(control: str, ca_file: Path, config: Path) -> dict[str, str]:
    """Return the environment variables that lead either SDK to a control plane."""
    return {
        "ARM_CLOUD_METADATA_URL": f"{control}/metadata/endpoints?api-version=2022-09-01",
        "AZUREML_CURRENT_CLOUD": "ScoringMock",
        "REQUESTS_CA_BUNDLE": str(ca_file),
        "SSL_CERT_FILE": str(ca_file),
        "AZURE_CONFIG_DIR": str(config),
    }


def run(folder: Path, package: str, specs: list[dict[str, Any]]) -> int:
    """Make the environment, start a mock with services, run `scenario.py`; the last line printed is the summary."""
    try:
        python = environment.ensure(folder.name, folder / "requirements.txt")
    except environment.Unavailable as error:
        print(f"{package} cannot be installed for Python {sys.version.split()[0]}: {error}")
        return COULD_NOT_RUN
    try:
        with Mock("http,https,admin,control") as mock:
            services = {service["name"]: service for service in mock.create(specs)}
            proven = _play(python, folder, mock.info, services)
    except MockError as error:
        print(error)
        return FAILED
    if proven is None:
        print(f"{_version(python, package)}: the scenario failed, see above")
        return FAILED
    print(f"{_version(python, package)}: {proven} things proven")
    return PROVEN


def _play(python: Path, folder: Path, info: dict[str, Any], services: dict[str, Any]) -> int | None:
    """Run the scenario; returns how many things it proved, None when it failed."""
    with tempfile.TemporaryDirectory(prefix="scoring-mock-sdk-") as name:
        home = Path(name)
        ca_file, facts = home / "ca.pem", home / "facts.json"
        ca_file.write_text(info["ca_pem"], encoding="ascii")
        facts.write_text(json.dumps({"info": info, "services": services, "home": str(home)}), encoding="ascii")
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            **settings(info["listeners"]["control"], ca_file, home / "azure"),
        }
        command = [python, folder / "scenario.py", facts]
        proven = 0
        with subprocess.Popen(command, env=variables, cwd=home, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            limit = threading.Timer(TIMEOUT, process.kill)  # for a scenario that hangs
            limit.start()
            try:
                for line in process.stdout:
                    print(line, end="", flush=True)
                    proven += "proven: " in line  # the SDK prints dots before it
            finally:
                limit.cancel()
    return proven if process.returncode == 0 and proven else None


def _version(python: Path, package: str) -> str:
    """Return the package with its installed version."""
    code = f"import importlib.metadata; print(importlib.metadata.version({package!r}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return f"{package} {done.stdout.strip()}"
