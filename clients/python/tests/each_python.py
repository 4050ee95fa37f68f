"""Run the client's tests on each supported Python that this machine has, in environments below build/ that are kept.

python each_python.py: leaves out the version that runs this file, whose tests `make test` runs with coverage.
"""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

VERSIONS = ("3.11", "3.12", "3.13")
HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[2] / "build"
REQUIREMENTS = HERE.parent / "requirements.txt"
PACKAGES = ("pytest>=8.3,<10", "pytest-timeout>=2.3,<3", "trustme>=1.2,<2")


def candidates(version: str) -> Iterator[str]:
    """Yield where this version may be: on PATH, then with pyenv."""
    yield f"python{version}"
    found = Path.home().joinpath(".pyenv", "versions").glob(f"{version}.*/bin/python")
    yield from sorted(map(str, found), reverse=True)


def find(version: str) -> str | None:
    """Return a command that runs this version, or None."""
    for command in candidates(version):
        test = f"import sys, ssl, venv; sys.exit('%d.%d' % sys.version_info[:2] != '{version}')"
        try:
            if subprocess.run([command, "-c", test], capture_output=True, check=False).returncode == 0:
                return command
        except OSError:
            continue
    return None


def environment(version: str, command: str) -> Path:
    """Return the Python of an environment with what the tests need, made once for these packages."""
    wanted = "\n".join([*PACKAGES, REQUIREMENTS.read_text(encoding="utf-8")])
    folder = BUILD / f"python-{version}-{hashlib.sha256(wanted.encode()).hexdigest()[:8]}"
    python = folder / "bin" / "python"
    done = folder / ".done"
    if not done.exists():
        subprocess.run([command, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, *PACKAGES, "-r", str(REQUIREMENTS)], check=True)
        done.touch()
    return python


def main() -> int:
    """Run them one after the other; the exit status is that of the first that fails."""
    for version in VERSIONS:
        if version == f"{sys.version_info.major}.{sys.version_info.minor}":
            continue
        command = find(version)
        if command is None:
            print(f"== python {version}: NOT RUN: not found on PATH or in ~/.pyenv")
            continue
        print(f"== python {version}", flush=True)
        python = environment(version, command)
        ran = subprocess.run([str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", str(HERE)], check=False)
        if ran.returncode != 0:
            return ran.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
