"""The mock as a subprocess on free ports; it ends when this process does, however that happens."""

from __future__ import annotations

import json
import subprocess
import sys

from scoring_conformance.clients.environment import clean_environment
from scoring_conformance.mock.admin import Mock
from scoring_conformance.problems import HarnessFault


def embedded_mock() -> Mock:
    """Start one.

    Raises:
        HarnessFault: it does not come up; its standard error is shown.
    """
    # The pipe to its standard input is what ties its life to ours: a killed suite closes it.
    process = subprocess.Popen(
        [sys.executable, "-m", "scoring_mock", "run", "--exit-with-stdin"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None,
        env=clean_environment(),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin = process.stdin

    def close() -> None:
        stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close() if process.stdout else None

    line = process.stdout.readline()
    try:
        return Mock(json.loads(line), "embedded", close)
    except (ValueError, KeyError, HarnessFault) as error:
        process.kill()
        process.wait()
        raise HarnessFault(f"the mock did not start (its first line: {line!r}): {error}") from error
