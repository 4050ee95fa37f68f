"""The mock's admin plane: services made and dropped in bulk, journals read in bulk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import requests

from scoring_conformance.problems import HarnessFault

_TIMEOUT = 30.0  # a limit for hangs, not an expectation


class Refused(HarnessFault):
    """The mock refuses what a case asks of it; the text is its sentence."""


class Mock:
    """A running mock. Every method may be called from any thread."""

    def __init__(self, info: dict[str, Any], kind: str, close: Callable[[], None]) -> None:
        """Wrap a mock that is up.

        Args:
            info: its first line; names its listeners and its random id.
            kind: ``embedded``, ``container`` or ``remote``.
            close: ends it, or does nothing when it is not ours.
        """
        self.info = info
        self.kind = kind
        self._close = close
        self._url = info["listeners"]["admin"]
        self._local = threading.local()
        found = self._call("GET", "/info")
        if found.get("server_id") != info["server_id"]:
            raise HarnessFault(f"{self._url} is not the mock that was started: another program answers there")

    @property
    def server_id(self) -> str:
        """Random for each start of the mock."""
        return str(self.info["server_id"])

    def create(self, specs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Deploy services; the answers are in the order of the specs.

        Raises:
            Refused: one of them is refused; the sentence begins with its place, ``services[7]``.
        """
        if not specs:
            return []
        made: list[dict[str, Any]] = self._call("POST", "/services", {"services": list(specs)})["services"]
        if [s["name"] for s in made] != [s["name"] for s in specs]:
            raise HarnessFault("the mock made other services than it was asked for")
        return made

    def act(self, name: str, act: dict[str, Any]) -> dict[str, Any]:
        """One act on a service, and its result.

        Raises:
            Refused: the mock refuses it.
        """
        return self._call("POST", f"/services/{name}/act", act)

    def journals(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What each service has seen so far."""
        found: dict[str, dict[str, Any]] = (
            self._call("POST", "/journals", {"names": list(names)})["journals"] if names else {}
        )
        for name in names:
            if name not in found:
                raise HarnessFault(f"the mock lost the journal of a service ({name})")
            if any(found[name]["dropped"].values()):
                raise HarnessFault(f"the mock dropped part of a journal: {found[name]['dropped']}")
        return found

    def drop(self, names: Sequence[str]) -> None:
        """Remove services."""
        if names:
            self._call("POST", "/services/drop", {"names": list(names)})

    def close(self) -> None:
        """End the mock, if it is ours."""
        self._close()

    def _call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        session = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.trust_env = False  # no proxy, no netrc: this is a loopback address
        try:
            response = session.request(method, self._url + path, json=body, timeout=_TIMEOUT)
        except requests.RequestException as error:
            raise HarnessFault(
                f"the mock's admin plane does not answer at {self._url}: {type(error).__name__}"
            ) from error
        try:
            answer = response.json()
        except ValueError:
            answer = {}
        if response.status_code != 200 or not isinstance(answer, dict):
            said = (answer.get("error") if isinstance(answer, dict) else None) or response.text[:200]
            if response.status_code == 400:
                raise Refused(said)
            raise HarnessFault(f"the mock's admin plane answers {response.status_code} to {method} {path}: {said}")
        return answer
