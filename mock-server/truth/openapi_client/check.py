"""The truth check `openapi_client`: a client generated from the document works, given base URL and `Bearer <key>`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import environment
from differential.mock import Mock, MockError

from openapi_client.generator import VERSION, generate

PROVEN, FAILED, COULD_NOT_RUN = 0, 1, 3
HERE = Path(__file__).resolve().parent

# The article's two rows, and what it prints for them.
ROWS = [
    [
        0.0199132141783263,
        0.0506801187398187,
        0.104808689473925,
        0.0700725447072635,
        -0.0359677812752396,
        -0.0266789028311707,
        -0.0249926566315915,
        -0.00259226199818282,
        0.00371173823343597,
        0.0403433716478807,
    ],
    [
        -0.0127796318808497,
        -0.044641636506989,
        0.0606183944448076,
        0.0528581912385822,
        0.0479653430750293,
        0.0293746718291555,
        -0.0176293810234174,
        0.0343088588777263,
        0.0702112981933102,
        0.00720651632920303,
    ],
]
WORKS = {
    "predictions": [score.hex() for score in (217.67978776218715, 224.78937091757172)],
    "health": "Healthy",
    "without_scheme": 401,
    "wrong_key": 401,
    "no_key": 401,
}


@dataclass(frozen=True)
class Case:
    """A document, and what a client made from it must do."""

    title: str
    spec: dict[str, Any]
    expected: dict[str, Any]


CASES = [
    Case(
        "v1, the article's document with cells of type number",
        {"profile": "aks-v1", "server_generation": "legacy", "name": "article"},
        {**WORKS, "bad_input": 502},
    ),
    Case("v1, the document of today's server", {"profile": "aks-v1", "name": "modern"}, {**WORKS, "bad_input": 502}),
    Case("managed endpoint", {"profile": "managed-v2", "name": "managed"}, {**WORKS, "bad_input": 424}),
    Case(
        "the container, which asks for no key",
        {"profile": "container", "name": "container"},
        {**WORKS, "without_scheme": 200, "wrong_key": 200, "no_key": 200, "bad_input": 500},
    ),
    # Why the cells are numbers: a client made from the article's own document refuses the article's own rows.
    Case(
        "v1, the article's document letter for letter",
        {"profile": "aks-v1", "server_generation": "legacy", "swagger_cells": "int64", "name": "int64"},
        {"refused": "int_type"},
    ),
]


def run(case: Case, service: dict[str, Any], python: Path) -> dict[str, Any]:
    """Generate a client from the service's document and use it; returns what `use_client.py` says."""
    uris = service["uris"]["http"]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(uris["swagger"], timeout=30) as reply:
        folder = generate(reply.read())
    base = uris["scoring"].removesuffix("/score")
    task = {"base": base, "key": service.get("primary_key", "any"), "rows": ROWS}
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(
        [str(python), str(HERE / "use_client.py")],
        input=json.dumps(task),
        env=clean | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{case.title}: the client failed: {done.stderr.strip().splitlines()[-1]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main() -> int:
    """Run all cases; the last line that is printed is the summary."""
    try:
        python = environment.ensure("openapi_client", HERE / "requirements.txt")
        with Mock() as mock:
            services = mock.create([case.spec for case in CASES])
            wrong = 0
            for case, service in zip(CASES, services, strict=True):
                result = run(case, service, python)
                if result == case.expected:
                    print(f"ok: {case.title}")
                else:
                    wrong += 1
                    print(f"wrong: {case.title}: expected {case.expected}, got {result}")
    except environment.Unavailable as error:
        print(error)
        return COULD_NOT_RUN
    except (MockError, RuntimeError, subprocess.TimeoutExpired) as error:
        print(error)
        return FAILED
    print(f"clients of openapi-generator {VERSION} from {len(CASES)} documents, {wrong} of them wrong")
    return FAILED if wrong else PROVEN


if __name__ == "__main__":
    sys.exit(main())
