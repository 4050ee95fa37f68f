"""Runs a plan: every call asked, every reply judged against the journal, every verdict accounted for."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scoring_conformance.cases.model import Case, for_language
from scoring_conformance.clients.manifest import Manifest
from scoring_conformance.engine.client import ClientFailure, RunningClient
from scoring_conformance.engine.files import Files
from scoring_conformance.engine.journals import JournalReader
from scoring_conformance.engine.judge import judge
from scoring_conformance.engine.plan import Planned, control, plan
from scoring_conformance.engine.record import Outcome, Record
from scoring_conformance.engine.scenario import Scenario
from scoring_conformance.engine.verdicts import Check, Verdict, VerdictName
from scoring_conformance.mock.admin import Mock, Refused
from scoring_conformance.problems import HarnessFault, UsageProblem

DEFAULT_DEADLINE = 30.0
"""Seconds for one reply: a limit for hangs, far above what any call takes."""
CONTROL_FAILED = "the positive control failed"
"""How the reason begins where a case is not judged because the client fails at the simplest call of all."""


@dataclass(frozen=True, slots=True)
class Client:
    """A client to run, or the reason why it cannot."""

    manifest: Manifest
    not_run: str | None = None
    error: str | None = None


@dataclass(slots=True)
class _Issued:
    planned: Planned
    service: dict[str, Any] | None
    message_ids: list[str] = field(default_factory=list)
    seen: int = 0


class Run:
    """One run of the selected cases with the selected clients."""

    def __init__(
        self,
        cases: Sequence[Case],
        clients: Sequence[Client],
        mock: Mock,
        seed: str,
        *,
        deadline: float = DEFAULT_DEADLINE,
        only: frozenset[tuple[str, str]] | None = None,
        on_verdict: Callable[[Verdict], None] = lambda _: None,
        on_done: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Nothing happens before ``execute``.

        Args:
            cases: what is asked.
            clients: who is asked.
            mock: the service.
            seed: decides every name, key, row and number.
            deadline: seconds that a client may take for one reply before it is killed.
            only: the pairs of client and case that are selected; None: all.
            on_verdict: told of every verdict as it falls; a later one for the same client and case replaces it.
            on_done: told of every client whose verdicts are final.
        """
        self.cases = cases
        self.clients = clients
        self.hellos: dict[str, Mapping[str, str]] = {}
        """What each client said of itself."""
        self.verdicts: dict[tuple[str, str], Verdict] = {}
        self._mock = mock
        self._seed = seed
        self._deadline = deadline
        self._only = only
        self._on_verdict = on_verdict
        self._on_done = on_done
        self._reader = JournalReader(mock)
        self._refused = _RefusedPort()
        self._files = Files(mock.info.get("ca_pem", ""))
        self._secrets: dict[str, str] = {}

    async def execute(self) -> None:
        """Ask everything and judge it.

        Raises:
            HarnessFault: the mock failed, or a verdict is missing: the run is void.
        """
        running = [c for c in self.clients if c.not_run is None and c.error is None]
        for client in self.clients:
            for case in self._cases_of(client.manifest) if client not in running else ():
                if client.not_run is not None:
                    verdict = Verdict(client.manifest.name, case.id, "not run", case.severity, client.not_run)
                else:
                    verdict = Verdict(client.manifest.name, case.id, "error", case.severity, client.error or "")
                self._record(verdict)
            if client not in running:
                self._on_done(client.manifest.name)
        try:
            async with asyncio.TaskGroup() as group:
                for client in running:
                    group.create_task(self._client(client.manifest))
        except* (HarnessFault, UsageProblem) as faults:
            raise _first(faults) from None
        finally:
            self._refused.close()
            self._files.close()
        issued = {(c.manifest.name, case.id) for c in self.clients for case in self._cases_of(c.manifest)}
        missing = issued - set(self.verdicts)
        if missing:
            raise HarnessFault(f"{len(missing)} verdicts are missing, such as {min(missing)}")

    def _cases_of(self, manifest: Manifest) -> list[Case]:
        return [c for c in self.cases if self._only is None or (manifest.name, c.id) in self._only]

    async def _client(self, manifest: Manifest) -> None:
        planned = plan(self._cases_of(manifest), [manifest.name], self._seed)
        first = control(manifest.name, self._seed)
        for each in planned:
            self._secrets |= {secret: f"<{what}>" for what, secret in each.secrets.items()}
        services = await self._deploy([first, *planned])
        client = RunningClient(manifest, self._deadline)
        issued = [_Issued(p, services.get(_name(p))) for p in planned]
        try:
            try:
                hello = await client.start()
                self.hellos[manifest.name] = hello.client
                failed_control = await self._control(client, _Issued(first, services[_name(first)]))
            except ClientFailure as failure:
                for one in issued:
                    self._record(self._error(one.planned, str(failure)))
                return
            async with asyncio.TaskGroup() as group:
                for one in issued:
                    group.create_task(self._case(client, hello.capabilities, one, failed_control))
        finally:
            await client.close()
            await self._aftermath(client, issued)
            await asyncio.to_thread(self._mock.drop, list(services))
            self._on_done(manifest.name)

    async def _deploy(self, planned: Sequence[Planned]) -> dict[str, dict[str, Any]]:
        specs = [p.service for p in planned if p.service is not None]
        try:
            made = await asyncio.to_thread(self._mock.create, specs)
        except Refused as refused:
            place, _, said = str(refused).partition("].")
            number = place.removeprefix("services[")
            if not number.isdigit():
                raise
            case = [p.case for p in planned if p.service is not None][int(number)]
            raise UsageProblem(f"{case.path}:{case.line}: {case.id}: the mock refuses the service: {said}") from refused
        return {service["name"]: service for service in made}

    async def _control(self, client: RunningClient, one: _Issued) -> str | None:
        """Why the positive control failed; None when it held."""
        verdict = await self._judged(client, one)
        if verdict.verdict == "pass":
            return None
        said = verdict.reason or "; ".join(
            f"{c.place}: expected {c.expected}, got {c.actual}" for c in verdict.findings[:2]
        )
        return f"{CONTROL_FAILED} (three rows scored without authentication): {said}"

    async def _case(
        self, client: RunningClient, capabilities: frozenset[str], one: _Issued, failed_control: str | None
    ) -> None:
        case = one.planned.case
        lacking = sorted(case.needs - capabilities) if case.level <= client.level else [f"level {case.level}"]
        if lacking:
            verdict = Verdict(one.planned.client, case.id, "unsupported", case.severity)
            reasons = [client.manifest.lacks[name] for name in lacking if name in client.manifest.lacks]
            verdict.declared = len(reasons) == len(lacking)
            verdict.reason = f"the client lacks {', '.join(lacking)}" + "".join(f": {reason}" for reason in reasons)
            self._record(verdict)
        elif case.negative and failed_control is not None:
            self._record(self._error(one.planned, failed_control))
        else:
            self._record(await self._judged(client, one))

    async def _judged(self, client: RunningClient, one: _Issued) -> Verdict:
        planned, case = one.planned, one.planned.case
        try:
            record = await (self._scenario(client, one) if case.level > 1 else self._single(client, one))
        except ClientFailure as failure:
            return self._error(planned, str(failure))
        one.message_ids = record.message_ids
        if record.unsupported is not None:
            reason = f"the adapter answers unsupported: {record.unsupported}"
            return Verdict(planned.client, case.id, "unsupported", case.severity, reason)
        one.seen = len(record.requests)
        checks = judge(planned, one.service, record)
        return self._verdict(client.manifest, planned, checks, record.seconds)

    async def _single(self, client: RunningClient, one: _Issued) -> Record:
        """One call at level 1."""
        planned = one.planned
        uri = one.service["uris"]["http"]["scoring"] if one.service is not None else self._refused.uri
        message_id, reply, seconds = await client.score(planned, uri)
        record = Record(client.manifest.language, message_ids=[message_id], seconds=seconds)
        if "unsupported" in reply:
            record.unsupported = reply["unsupported"]
            return record
        if one.service is not None:
            record.requests = (await self._reader.read(one.service["name"]))["requests"]
        expect = for_language(planned.case.script[0]["expect"], record.language)
        record.outcomes.append(Outcome("", planned.calls[""][0], expect, reply))
        return record

    async def _scenario(self, client: RunningClient, one: _Issued) -> Record:
        """Many calls on one client at level 2."""
        scenario = Scenario(
            one.planned,
            one.service,
            client,
            mock=self._mock,
            reader=self._reader,
            files=self._files,
            refused=self._refused.origin,
            on_secret=lambda secret, name: self._secrets.update({secret: f"<{name}>"}),
        )
        try:
            return await scenario.run()
        finally:
            one.message_ids = scenario.record.message_ids

    async def _aftermath(self, client: RunningClient, issued: Sequence[_Issued]) -> None:
        """What only shows when everything is over: second replies, late requests, credentials on standard error."""
        judged = [
            one for one in issued if one.message_ids and (one.planned.client, one.planned.case.id) in self.verdicts
        ]
        names = [one.service["name"] for one in judged if one.service is not None]
        journals = await asyncio.to_thread(self._mock.journals, names)
        for one in judged:
            found = self.verdicts[one.planned.client, one.planned.case.id]
            spoiled = [client.spoiled[name] for name in one.message_ids if name in client.spoiled]
            if spoiled:
                self._record(self._error(one.planned, spoiled[0]))
                continue
            late = len(journals[one.service["name"]]["requests"]) - one.seen if one.service is not None else 0
            leaked = any(secret in client.stderr for secret in one.planned.secrets.values())
            more = [Check("/requests/late", False, "no request after the reply", f"{late} more")] if late else []
            more += [Check("/secret/stderr", False, "no credential on standard error", "it is there")] if leaked else []
            if more and found.verdict in ("pass", "warn", "fail"):
                self._record(self._verdict(client.manifest, one.planned, found.checks + more, found.seconds))
        if client.violations:
            # A client that answers questions nobody asked could have answered the others by luck.
            for one in issued:
                if self.verdicts.get((one.planned.client, one.planned.case.id)) is not None:
                    self._record(self._error(one.planned, client.violations[0]))

    def _verdict(self, manifest: Manifest, planned: Planned, checks: list[Check], seconds: float) -> Verdict:
        case = planned.case
        held = bool(checks) and all(check.held for check in checks)
        name: VerdictName = "pass" if held else "fail" if case.severity == "must" or manifest.reference else "warn"
        # What held is shown nowhere, and to look for every credential of a run in each value takes long.
        shown = [
            Check(c.place, True) if c.held else Check(c.place, False, self._hide(c.expected), self._hide(c.actual))
            for c in checks
        ]
        return Verdict(planned.client, case.id, name, case.severity, "", shown, seconds)

    def _error(self, planned: Planned, reason: str) -> Verdict:
        return Verdict(planned.client, planned.case.id, "error", planned.case.severity, str(self._hide(reason)))

    def _hide(self, value: Any) -> Any:
        """Planted credentials shown by their names."""
        if isinstance(value, str):
            for secret, name in self._secrets.items():
                if secret in value:
                    value = value.replace(secret, name)
            return value
        return [self._hide(v) for v in value] if isinstance(value, list) else value

    def _record(self, verdict: Verdict) -> None:
        self.verdicts[verdict.client, verdict.case] = verdict
        self._on_verdict(verdict)


class _RefusedPort:
    """A port of this machine at which nobody listens: bound, so that nobody else gets it, and never listened on."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.origin = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.uri = self.origin + "/api/v1/service/nobody/score"

    def close(self) -> None:
        self._socket.close()


def _first(faults: BaseExceptionGroup[Any]) -> BaseException:
    """The first of them; groups can be nested."""
    first = faults.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _name(planned: Planned) -> str:
    return planned.service["name"] if planned.service is not None else ""
