"""openapi-generator: fetched once from Maven Central, run with Java, its output kept for the same document."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from environment import BUILD, Unavailable

VERSION = "7.25.0"
PACKAGE = "scoring_client"

_FOLDER = BUILD / "openapi_client"
_JAR = _FOLDER / f"openapi-generator-cli-{VERSION}.jar"
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"


def fetch() -> Path:
    """Return the generator's jar, fetched if it is not there yet. Raises Unavailable with the reason."""
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            raise Unavailable(f"'{program}' is not on PATH")
    if not _JAR.is_file():
        artifact = f"-Dartifact=org.openapitools:openapi-generator-cli:{VERSION}"
        _run(["mvn", "-q", "-B", _COPY, artifact, f"-DoutputDirectory={_FOLDER}"], "fetch.log")
    return _JAR


def generate(document: bytes) -> Path:
    """Return the folder of the Python client made from a document.

    Raises Unavailable when the generator cannot be had, RuntimeError when it refuses the document.
    """
    jar = fetch()
    made_from = hashlib.sha256(VERSION.encode() + document).hexdigest()[:16]
    folder = _FOLDER / made_from
    done = folder / "done"
    if not done.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        source = folder / "swagger.json"
        source.write_bytes(document)
        command = ["java", "-jar", str(jar), "generate", "-i", str(source), "-g", "python", "-o", str(folder)]
        try:
            _run([*command, "--package-name", PACKAGE], f"{made_from}.log")
        except Unavailable as error:
            raise RuntimeError(f"the generator refuses the document: {error}") from error
        done.touch()
    return folder


def _run(command: list[str], log: str) -> None:
    """Run a program, its output in a log file; Unavailable with the last line of it when it fails."""
    _FOLDER.mkdir(parents=True, exist_ok=True)
    path = _FOLDER / log
    with path.open("w", encoding="utf-8") as output:
        try:
            code = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, timeout=600, check=False).returncode
        except subprocess.TimeoutExpired:
            raise Unavailable(f"{command[0]} took more than ten minutes") from None
    if code:
        lines = [line for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        errors = [line for line in lines if "ERROR" in line or "xception" in line]
        raise Unavailable((errors or lines or [f"{command[0]} ended with exit code {code}"])[0].strip())
