"""The matrix as pytest sees it: one test for each client and case.

The engine runs the selected ones in the background; a test waits until its client's verdicts are final. Used by
``conformance/matrix``: ``pytest conformance/matrix -k "go and auth"``, ``-x``, ``--lf``, ``--junitxml`` work as ever.
Options: ``--mock`` (``MOCK``), ``--seed`` (``SEED``), ``--require`` (``REQUIRE``), ``--results``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

import pytest

from scoring_conformance.cases.loader import load_cases
from scoring_conformance.clients.manifest import chosen_clients
from scoring_conformance.engine.run import Run
from scoring_conformance.engine.selection import required_clients
from scoring_conformance.engine.session import Session, new_seed
from scoring_conformance.engine.verdicts import Verdict
from scoring_conformance.paths import repository
from scoring_conformance.problems import HarnessFault, UsageProblem

_ENGINE = pytest.StashKey["_Engine"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of a run."""
    group = parser.getgroup("conformance", "scoring conformance")
    group.addoption("--mock", default=os.environ.get("MOCK") or "embedded", help="embedded, container, or an admin URL")
    group.addoption("--seed", default=os.environ.get("SEED") or None, help="repeat a run's draws")
    group.addoption("--require", default=os.environ.get("REQUIRE", ""), help="clients that must run, comma between")
    group.addoption("--results", type=Path, default=Path("build/pytest"), help="where results.json goes")


def pytest_configure() -> None:
    """SIGTERM ends a session as Ctrl-C does, so that nothing is left behind."""

    def terminated(number: int, _: FrameType | None) -> None:
        pytest.exit("terminated", returncode=128 + number)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, terminated)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each client and case."""
    if {"client_name", "case_id"} <= set(metafunc.fixturenames):
        try:
            pairs = [(m.name, c.id) for m in chosen_clients([]) for c in load_cases()]
        except UsageProblem as problem:
            pytest.exit(f"conformance: {problem}", returncode=2)
        metafunc.parametrize(("client_name", "case_id"), pairs, ids=[f"{client}-{case}" for client, case in pairs])


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note what is selected, now that ``-k``, ``--lf`` and their like have had their say."""
    selected = []
    for item in session.items:
        values = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        if "client_name" in values and "case_id" in values:
            selected.append((str(values["client_name"]), str(values["case_id"])))
    if selected:
        session.config.stash[_ENGINE] = _Engine(session.config, selected)


def pytest_report_header(config: pytest.Config) -> str:
    """Where the service is."""
    return f"conformance: mock {config.getoption('--mock')}"


@pytest.fixture(scope="session")
def conformance_engine(request: pytest.FixtureRequest) -> Iterator[_Engine]:
    """The engine, at work."""
    engine = request.config.stash[_ENGINE]
    engine.start()
    yield engine
    engine.stop()


@pytest.fixture
def verdict(conformance_engine: _Engine, client_name: str, case_id: str) -> Verdict:
    """The final verdict of one case with one client; a run that is void ends the session."""
    return conformance_engine.wait(client_name, case_id)


class _Engine:
    """The run in a thread of its own."""

    def __init__(self, config: pytest.Config, selected: Sequence[tuple[str, str]]) -> None:
        try:
            self.required = required_clients(config.getoption("--require"))
            folder: Path = config.getoption("--results")
            self._clients, cases = {client for client, _ in selected}, {case for _, case in selected}
            self._session = Session(
                cases=[c for c in load_cases() if c.id in cases],
                manifests=[m for m in chosen_clients([]) if m.name in self._clients],
                where=config.getoption("--mock"),
                seed=config.getoption("--seed") or new_seed(),
                folder=folder if folder.is_absolute() else repository() / folder,
                only=frozenset(selected),
                on_verdict=self._record,
                on_done=self._finished,
            )
        except UsageProblem as problem:
            pytest.exit(f"conformance: {problem}", returncode=2)
        self._changed = threading.Condition()
        self._verdicts: dict[tuple[str, str], Verdict] = {}
        self._done: set[str] = set()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="conformance", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wait(self, client: str, case: str) -> Verdict:
        """The final verdict. The engine's own deadlines bound the wait."""
        with self._changed:
            self._changed.wait_for(lambda: client in self._done or self._failure is not None)
            if client not in self._done:
                code = 2 if isinstance(self._failure, UsageProblem) else 3
                pytest.exit(f"conformance: {self._failure}", returncode=code)
            return self._verdicts[client, case]

    def stop(self) -> None:
        """End it, whether or not it is finished."""
        if self._clients - self._done and self._loop is not None and self._task is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(60)

    def _work(self) -> None:
        try:
            with self._session.prepared() as run:
                asyncio.run(self._execute(run))
        except asyncio.CancelledError:
            self._fail(HarnessFault("the run was stopped"))
        except BaseException as failure:
            self._fail(failure)

    async def _execute(self, run: Run) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        await run.execute()

    def _record(self, verdict: Verdict) -> None:
        with self._changed:
            self._verdicts[verdict.client, verdict.case] = verdict

    def _finished(self, client: str) -> None:
        with self._changed:
            self._done.add(client)
            self._changed.notify_all()

    def _fail(self, failure: BaseException) -> None:
        with self._changed:
            self._failure = failure
            self._changed.notify_all()
