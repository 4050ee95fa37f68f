"""Makes the client and the raw server importable, and gives tests a server that ends with them."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
sys.path[:0] = [str(TESTS.parent), str(TESTS)]

from raw_server import Play, RawServer  # noqa: E402

NETWORK_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "NETRC")


@pytest.fixture(autouse=True)
def _no_network_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine sets would change what is tested."""
    for name in (*NETWORK_VARIABLES, "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def serve() -> Iterator[Callable[..., RawServer]]:
    """Start servers: ``serve(play, play, ..., tls=None)`` answers one request with each play, in order."""
    with ExitStack() as servers:

        def start(*plays: Play, **options: object) -> RawServer:
            return servers.enter_context(RawServer(*plays, **options))  # type: ignore[arg-type]

        yield start
