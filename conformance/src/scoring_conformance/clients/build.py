"""Builds an adapter when a source changed, and only then."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from scoring_conformance.clients.manifest import Manifest
from scoring_conformance.paths import repository
from scoring_conformance.problems import UsageProblem


class BuildFailed(Exception):
    """A build command failed; the text ends with the last lines that it printed."""


def build_folder(manifest: Manifest) -> Path:
    """The folder below ``build/`` that is the adapter's own."""
    return repository() / "build" / "adapters" / manifest.name


def build(manifest: Manifest) -> bool:
    """Bring the adapter up to date; True when a command ran.

    Raises:
        BuildFailed: a command failed.
        UsageProblem: the manifest's sources match no file.
    """
    folder = build_folder(manifest)
    folder.mkdir(parents=True, exist_ok=True)
    if not manifest.build:
        return False
    stamp = folder / ".built-from"
    digest = _digest(manifest)
    if stamp.is_file() and stamp.read_text(encoding="ascii") == digest:
        return False
    stamp.unlink(missing_ok=True)
    for command in manifest.build:
        words = fill(command, manifest)
        env = {**os.environ, "DOTNET_CLI_TELEMETRY_OPTOUT": "1", "DOTNET_NOLOGO": "1", **manifest.env}
        try:
            ran = subprocess.run(words, cwd=manifest.folder, env=env, capture_output=True, text=True, check=False)
        except OSError as error:
            raise BuildFailed(f"`{' '.join(words)}` does not start: {error.strerror}") from error
        if ran.returncode != 0:
            tail = "\n".join((ran.stdout + ran.stderr).strip().splitlines()[-20:])
            raise BuildFailed(f"`{' '.join(words)}` exits with {ran.returncode}:\n{tail}")
    stamp.write_text(digest, encoding="ascii")
    return True


def fill(words: Sequence[str], manifest: Manifest) -> list[str]:
    """The words of a command with their placeholders filled."""
    values = {
        "{build}": str(build_folder(manifest)),
        "{root}": str(manifest.root),
        "{python}": sys.executable,
    }
    filled = []
    for word in words:
        for placeholder, value in values.items():
            word = word.replace(placeholder, value)
        filled.append(word)
    return filled


def _digest(manifest: Manifest) -> str:
    digest = hashlib.sha256(repr((manifest.build, manifest.run, manifest.env)).encode())
    found = False
    for pattern in manifest.sources:
        for path in sorted(manifest.root.glob(pattern)):
            if path.is_file() and not {"bin", "obj", "target"} & set(path.relative_to(manifest.root).parts):
                found = True
                digest.update(str(path.relative_to(manifest.root)).encode() + b"\0" + path.read_bytes() + b"\0")
    if not found:
        raise UsageProblem(f"{manifest.folder}/client.toml: sources match no file below {manifest.root}")
    return digest.hexdigest()
