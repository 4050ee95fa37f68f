"""Whether what a client needs is on this machine."""

from __future__ import annotations

import re
import shutil
import subprocess

from scoring_conformance.clients.manifest import Manifest, Toolchain
from scoring_conformance.problems import UsageProblem


def missing(manifest: Manifest) -> str | None:
    """What is missing or too old, and where to get it; None when all is there."""
    for toolchain in manifest.toolchains:
        problem = _problem(manifest, toolchain)
        if problem is not None:
            return f"{problem}; get it from {toolchain.get}"
    return None


def _problem(manifest: Manifest, toolchain: Toolchain) -> str | None:
    program = toolchain.command[0]
    wanted = f"{toolchain.name} {toolchain.minimum} or later"
    if shutil.which(program) is None:
        return f"{wanted} is needed, and `{program}` is not on PATH"
    try:
        ran = subprocess.run(
            toolchain.command, capture_output=True, text=True, timeout=60, check=False, cwd=manifest.folder
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{wanted} is needed, and `{' '.join(toolchain.command)}` does not run ({error})"
    if ran.returncode != 0:
        return f"{wanted} is needed, and `{' '.join(toolchain.command)}` exits with {ran.returncode}"
    try:
        found = re.search(toolchain.version, ran.stdout + ran.stderr)
    except re.error as error:
        raise UsageProblem(
            f"{manifest.folder}/client.toml: toolchain {toolchain.name!r}: version is no regular expression: {error}"
        ) from error
    if found is None or not found.groups():
        return f"{wanted} is needed, and `{' '.join(toolchain.command)}` does not tell its version"
    if _numbers(found[1]) < _numbers(toolchain.minimum):
        return f"{wanted} is needed, and this is {found[1]}"
    return None


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]
