"""For scenarios: say what is proven, and refuse when it is not. Runs in the environments of the SDKs."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

# The article's two rows, and what it prints for them.
BODY = json.dumps(
    {
        "data": [
            [
                *(0.0199132141783263, 0.0506801187398187, 0.104808689473925, 0.0700725447072635, -0.0359677812752396),
                *(-0.0266789028311707, -0.0249926566315915, -0.00259226199818282, 0.00371173823343597),
                0.0403433716478807,
            ],
            [
                *(-0.0127796318808497, -0.044641636506989, 0.0606183944448076, 0.0528581912385822),
                *(0.0479653430750293, 0.0293746718291555, -0.0176293810234174, 0.0343088588777263),
                *(0.0702112981933102, 0.00720651632920303),
            ],
        ]
    }
)
PREDICTIONS = [217.67978776218715, 224.78937091757172]


class Facts:
    """What the check knows of the mock: services as its admin plane describes them, and its addresses."""

    def __init__(self) -> None:
        """Read the file that the check wrote."""
        read = json.loads(Path(sys.argv[1]).read_text(encoding="ascii"))
        self.services: dict[str, Any] = read["services"]
        self.info: dict[str, Any] = read["info"]
        self.home = Path(read["home"])


def equal(what: str, got: object, wanted: object) -> None:
    """Prove that two values are equal, types included."""
    if type(got) is not type(wanted) or got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")
    print(f"proven: {what}")


def true(what: str, condition: object) -> None:
    """Prove that a condition holds."""
    if not condition:
        raise AssertionError(f"not so: {what}")
    print(f"proven: {what}")


def raises(what: str, kind: type[BaseException], words: str, action: Callable[[], object]) -> None:
    """Prove that an action raises an exception of a kind whose text has some words in it."""
    try:
        action()
    except kind as error:
        if words not in str(error):
            raise AssertionError(f"{what}: {words!r} is not in {error}") from error
        print(f"proven: {what}")
        return
    raise AssertionError(f"{what}: nothing was raised")


def status_of(uri: str, credential: str | None) -> int:
    """Return the status of a scoring request with a credential, without any SDK; the CA comes from SSL_CERT_FILE."""
    headers = {"Content-Type": "application/json"}
    if credential is not None:
        headers["Authorization"] = f"Bearer {credential}"
    request = urllib.request.Request(uri, BODY.encode(), headers)  # noqa: S310 the mock's address
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310
            return int(reply.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
