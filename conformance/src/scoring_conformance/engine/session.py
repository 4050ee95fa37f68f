"""A whole run for a front end: mock up, clients built, results written, everything taken down again."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scoring_conformance.cases.model import Case
from scoring_conformance.clients.manifest import Manifest
from scoring_conformance.engine.available import make_available
from scoring_conformance.engine.results import Results
from scoring_conformance.engine.run import DEFAULT_DEADLINE, Run
from scoring_conformance.engine.verdicts import Verdict
from scoring_conformance.mock import open_mock


def new_seed() -> str:
    """A seed that nobody can guess."""
    return secrets.token_hex(6)


@dataclass(slots=True)
class Session:
    """What a front end wants done, and the document that came of it."""

    cases: Sequence[Case]
    manifests: Sequence[Manifest]
    where: str
    """``MOCK``: embedded, container, or the URL of an admin plane."""
    seed: str
    folder: Path
    deadline: float = DEFAULT_DEADLINE
    only: frozenset[tuple[str, str]] | None = None
    tell: Callable[[str], None] = lambda _: None
    on_verdict: Callable[[Verdict], None] = lambda _: None
    on_done: Callable[[str], None] = lambda _: None
    document: dict[str, Any] = field(default_factory=dict)
    """The results; also those of a run that was cut short."""

    @contextlib.contextmanager
    def prepared(self) -> Iterator[Run]:
        """The run, ready to be executed; results are written however the block is left.

        Raises:
            UsageProblem: the mock cannot be had, or a manifest is wrong.
            HarnessFault: the mock did not start.
        """
        clients = make_available(self.manifests, self.tell)
        mock = open_mock(self.where)
        results = None
        run = None
        complete = False
        try:
            results = Results(self.folder, self.seed, {"kind": mock.kind, "server_id": mock.server_id})

            def record(verdict: Verdict) -> None:
                results.add(verdict)
                self.on_verdict(verdict)

            run = Run(
                self.cases,
                clients,
                mock,
                self.seed,
                deadline=self.deadline,
                only=self.only,
                on_verdict=record,
                on_done=self.on_done,
            )
            yield run
            complete = True
        finally:
            if results is not None:
                self.document = results.write(run, complete=complete)
                results.close()
            mock.close()
