"""A mock that somebody else runs."""

from __future__ import annotations

import requests

from scoring_conformance.mock.admin import Mock
from scoring_conformance.problems import UsageProblem


def remote_mock(url: str) -> Mock:
    """The mock behind an admin URL.

    Raises:
        UsageProblem: no mock answers there.
    """
    url = url.rstrip("/")
    session = requests.Session()
    session.trust_env = False
    try:
        info = session.get(url + "/info", timeout=10).json()
        if "server_id" not in info:
            raise ValueError("no server_id")
    except (requests.RequestException, ValueError, TypeError) as error:
        raise UsageProblem(
            f"MOCK={url}: no mock's admin plane answers there; `scoring-mock run` prints its address as listeners.admin"
        ) from error
    info["listeners"]["admin"] = url
    return Mock(info, "remote", lambda: None)
