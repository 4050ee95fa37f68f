"""One case at level 2: its client opened, its steps taken, its client closed, and a record of what was seen."""

from __future__ import annotations

import asyncio
import secrets
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from scoring_conformance import protocol
from scoring_conformance.cases.model import for_language
from scoring_conformance.clients.process import AdapterFailure, AdapterProcess
from scoring_conformance.engine.client import ClientFailure, OpenClient, RunningClient
from scoring_conformance.engine.files import Files
from scoring_conformance.engine.journals import JournalReader
from scoring_conformance.engine.plan import Call, Planned, fill, reply_for
from scoring_conformance.engine.record import Outcome, Record
from scoring_conformance.engine.verdicts import Check
from scoring_conformance.mock.admin import Mock, Refused
from scoring_conformance.problems import UsageProblem

_POLL = 0.01  # seconds between two looks at what has no event of its own
_GONE = 10.0  # seconds in which a connection must be seen closed: a limit for hangs


class _Over(Exception):
    """Nothing more is to be done in this case."""


@dataclass(frozen=True, slots=True)
class _Going:
    """Calls under way: their ids and tasks, and what had been seen before them."""

    calls: Sequence[tuple[str, asyncio.Task[dict[str, Any]]]] = ()
    before: Mapping[str, int] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        return all(task.done() for _, task in self.calls)


class Scenario:
    """Takes the steps of one case."""

    def __init__(
        self,
        planned: Planned,
        service: dict[str, Any] | None,
        client: RunningClient,
        *,
        mock: Mock,
        reader: JournalReader,
        files: Files,
        refused: str,
        on_secret: Callable[[str, str], None],
    ) -> None:
        """Nothing happens before ``run``.

        Args:
            planned: the case.
            service: the admin plane's answer for the case's service.
            client: who is asked.
            mock: for acts and tokens.
            reader: for the journal.
            files: what ``ca_file`` names.
            refused: the origin of a port where nobody listens.
            on_secret: told of every token that is handed out, and what to call it in a report.
        """
        self._planned = planned
        self._case = planned.case
        self._service = service
        self._client = client
        self._mock = mock
        self._reader = reader
        self._files = files
        self._on_secret = on_secret
        self._live = OpenClient(secrets.token_hex(6), self._asked, self._told)
        self._answers: Sequence[Mapping[str, Any]] = self._case.options.get("token_provider", ())
        self._expired: dict[int, str] = {}
        self._answered: list[str] = []
        self._released = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._process: AdapterProcess | None = None
        self._closed = False
        self._problem: Exception | None = None
        self.record = Record(language=client.manifest.language, values={**planned.values, "suite.refused": refused})

    async def run(self) -> Record:
        """Do it all.

        Raises:
            ClientFailure: the client gave no answer that can be judged.
            UsageProblem: the mock refuses what the case asks of it.
        """
        async with self._client.process(waits=self._case.waits, places=_places(self._case.script)) as process:
            self._process = process
            started = time.monotonic()
            self._client.expect(self._live)
            try:
                await self._take()
            except (AdapterFailure, protocol.ProtocolViolation) as failure:
                raise ClientFailure(str(failure)) from failure
            except Refused as refused:
                raise UsageProblem(f"{self._case.path}:{self._case.line}: {self._case.id}: {refused}") from refused
            finally:
                for task in self._tasks:
                    task.cancel()
            self.record.seconds = time.monotonic() - started
        if self._problem is not None:
            raise self._problem
        if self.record.unsupported is None:
            await self._look_back()
        return self.record

    async def _take(self) -> None:
        uri, options = await self._options()
        opened = await self._ask(protocol.open_request(secrets.token_hex(12), self._live.name, uri, options))
        if "unsupported" in opened:
            self.record.unsupported = opened["unsupported"]
            return
        if "error" in opened:
            place = "" if self._case.steps is None else next(iter(self._planned.calls))
            self._note(place, self._planned.calls[place][0], self._expect_at(place), opened, "open")
            return
        self._live.is_open = True
        try:
            if self._case.steps is None:
                await self._call(self._case.script[0], "")
            else:
                for index, step in enumerate(self._case.steps):
                    await self._step(step, f"/steps/{index}", _Going())
            if self._case.expect.get("peer_closed"):
                # Where the call came to something else, the case has failed, and nobody waits for more.
                gone = await self._until(self._last_closed, _GONE if self._failed_as_expected() else 0.0)
                self.record.checks.append(Check("/peer_closed", gone, "closed by the client", "still open"))
        except _Over:
            pass
        except Exception:
            if not self._process_failed:
                await self._close()
            raise
        await self._close()

    async def _look_back(self) -> None:
        """What the journal says when the client is closed; others may have its places meanwhile."""
        if self._service is None:
            return
        if self._case.expect.get("released") and self._closed:
            gone = await self._until(self._all_closed, _GONE)
            said = "closed by the client" if gone else "some are open"
            self.record.checks.append(Check("/released", gone, "closed by the client", said))
        journal = await self._reader.read(self._service["name"])
        self.record.requests, self.record.connections = journal["requests"], journal["connections"]

    @property
    def _process_failed(self) -> bool:
        return self._process is None or self._process.failed

    # Making the client

    async def _options(self) -> tuple[str, dict[str, Any]]:
        """Where the client is sent and how it is made; the placeholders get their values here."""
        wanted = self._case.options
        values = self.record.values
        if self._service is not None:
            values |= {f"service.{k}": v for k, v in self._service.items() if isinstance(v, str)}
            uris = self._service["uris"]
            listener = wanted.get("listener") or ("http" if "http" in uris else next(iter(uris)))
            if listener not in uris:
                raise Refused(f"the service has no listener {listener!r}, but {', '.join(uris)}")
            parts = urllib.parse.urlsplit(uris[listener]["scoring"])
            values["service.scoring_uri"] = uris[listener]["scoring"]
            values["service.origin"] = f"{parts.scheme}://{parts.netloc}"
            values["service.address"] = parts.netloc
        uri = wanted.get("uri", "scoring")
        if isinstance(uri, dict):
            uri = fill(uri["text"], values)
        elif uri == "refused":
            uri = values["suite.refused"] + "/api/v1/service/nobody/score"
        else:
            uri = values["service.scoring_uri"]
        options = {k: fill(v, values) for k, v in wanted.items() if k not in ("uri", "listener", "ca_file", "key")}
        if "token_provider" in options:
            options["token_provider"] = True
            await self._expire_first()
        key = self._planned.key
        if wanted.get("key") == "token":
            key = (await self._act({"act": "issue-token"}))["token"]
            self._hand_out(key)
        if key is not None:
            options["key"] = key
        if self._case.ca_file != "none":
            options["ca_file"] = self._files.ca_file(fill(self._case.ca_file, values))
        return uri, options

    async def _expire_first(self) -> None:
        """Tokens that have expired are issued, and ended all at once, before any good one is."""
        for index, answer in enumerate(self._answers):
            if answer.get("token") == "expired":
                self._expired[index] = (await self._act({"act": "issue-token"}))["token"]
        if self._expired:
            await self._act({"act": "expire-tokens"})

    # Steps

    async def _step(self, step: Mapping[str, Any], place: str, going: _Going) -> None:
        if "call" in step:
            await self._call(step, place)
        elif "act" in step:
            act = fill(step["act"], self.record.values)
            if "replies" in act:
                act["replies"] = [reply_for(reply, self.record.values) for reply in act["replies"]]
            await self._act(act)
        elif "wait" in step:
            wait = step["wait"]
            await self._when(wait["for"], wait.get("count"), f"{place}/when", going)
        elif "cancel" in step:
            await self._cancel(going)
        elif "release" in step:
            self._released.set()
        else:
            await self._close()

    async def _call(self, step: Mapping[str, Any], place: str) -> None:
        calls = self._planned.calls[place]
        before = await self._counts() if _watches(step) else {}
        messages = [protocol.call_request(secrets.token_hex(12), self._live.name, c.op, _members(c)) for c in calls]
        going = _Going([(m["id"], asyncio.create_task(self._ask_call(m))) for m in messages], before)
        try:
            await asyncio.sleep(0)  # the requests are written before anything else is
            if "cancel" in step:
                cancel = step["cancel"]
                await self._when(cancel["when"], cancel.get("count"), f"{place}/when", going)
                await self._cancel(going)
            for index, meanwhile in enumerate(step.get("meanwhile", ())):
                await self._step(meanwhile, f"{place}/meanwhile/{index}", going)
            replies = await asyncio.gather(*(task for _, task in going.calls))
        finally:
            for _, task in going.calls:
                task.cancel()
        expect = for_language(step["expect"], self.record.language)
        for index, (call, reply) in enumerate(zip(calls, replies, strict=True)):
            if "unsupported" in reply:
                self.record.unsupported = reply["unsupported"]
                raise _Over
            self._note(f"{place}/calls/{index}" if "calls" in step else place, call, expect, reply, "call")

    async def _ask_call(self, message: dict[str, Any]) -> dict[str, Any]:
        self._live.calls += 1
        try:
            reply = await self._ask(message)
        finally:
            self._live.calls -= 1
        error = reply.get("error", {})
        self._live.gave_up |= error.get("kind") == "cancelled" or error.get("timed_out") is True
        return reply

    async def _cancel(self, going: _Going) -> None:
        for message_id, _ in going.calls:
            message = protocol.cancel_request(secrets.token_hex(12), self._live.name, message_id)
            reply = await self._ask(message)
            if "unsupported" in reply:
                self.record.unsupported = reply["unsupported"]
                raise _Over
            if "error" in reply:
                raise protocol.ProtocolViolation(f"`cancel` was answered with an error: {reply['error']['text']}")

    async def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        reply = await self._ask(protocol.close_request(secrets.token_hex(12), self._live.name))
        self._live.is_open = False
        if "ok" not in reply:
            said = reply.get("error", {}).get("text", "unsupported")
            self.record.checks.append(Check("/close", False, "the client is released", said))

    # What the adapter asks and tells

    def _asked(self, message: dict[str, Any]) -> None:
        self.record.asks += 1
        task = asyncio.create_task(self._answer(self.record.asks - 1, message["id"]))
        self._tasks.add(task)

    async def _answer(self, index: int, question: str) -> None:
        assert self._process is not None
        wanted: Mapping[str, Any] = {"error": "asked more often than the case foresees"}
        if index < len(self._answers):
            wanted = self._answers[index]
        if "hold" in wanted:
            return
        await asyncio.sleep(wanted.get("delay", 0))
        if wanted.get("after") == "release":
            await self._released.wait()
        answer: dict[str, Any]
        if "error" in wanted:
            answer = {"error": fill(wanted["error"], self.record.values)}
        else:
            try:
                answer = {"token": await self._token(index, wanted["token"])}
            except Exception as problem:  # reported by `run`; the case ends when its calls do
                self._problem = problem
                answer = {"error": "the mock gave no token"}
            if wanted.get("refresh_in") is not None:
                answer["refresh_by"] = time.time() + wanted["refresh_in"]
        await self._process.send(protocol.token_answer(question, answer))

    async def _token(self, index: int, wanted: Any) -> str:
        if wanted == "issued":
            token = str((await self._act({"act": "issue-token"}))["token"])
        elif wanted == "expired":
            token = self._expired[index]
        elif wanted == "same":
            token = self._answered[-1]
        elif wanted == "unknown":
            token = self._planned.unknown_token
        else:
            token = str(fill(wanted["text"], self.record.values))
        self._hand_out(token, index + 1)
        return token

    def _hand_out(self, token: str, number: int = 1) -> None:
        self._answered.append(token)
        name = f"token {number}"
        self.record.values[f"token.{number}"] = token
        if token and token not in self._planned.secrets.values():
            self._planned.secrets[name] = token
            self._on_secret(token, name)

    def _told(self, message: dict[str, Any]) -> None:
        self.record.retries.append({name: message[name] for name in ("attempt", "wait", "reason")})

    # Waiting and looking

    async def _when(self, what: str, count: int | None, place: str, going: _Going) -> None:
        """Wait until it has happened so often, or until the calls that it waits for are over."""
        if what == "now":
            return
        wanted = count if count is not None else going.before[what] + 1
        while (found := (await self._counts())[what]) < wanted:
            if going.over:
                found = (await self._counts())[what]
                self.record.checks.append(Check(place, found >= wanted, f"{what} {wanted} times", f"{found} times"))
                return
            await asyncio.sleep(_POLL)
        self.record.checks.append(Check(place, True))

    async def _counts(self) -> dict[str, int]:
        journal = await self._reader.read(self._service["name"]) if self._service is not None else {}
        requests = journal.get("requests", [])
        return {
            "request-seen": len(requests),
            "answer-begun": sum(r["answered"] is not None for r in requests),
            "connection-seen": len(journal.get("connections", [])),
            "retry-told": len(self.record.retries),
            "token-asked": self.record.asks,
        }

    def _failed_as_expected(self) -> bool:
        if not self.record.outcomes:
            return False
        last = self.record.outcomes[-1]
        error: Mapping[str, Any] = last.reply.get("error", {})
        return bool(error) and error["kind"] == last.expect.get("error", {}).get("kind")

    async def _until(self, condition: Callable[[Mapping[str, Any]], bool], patience: float) -> bool:
        assert self._service is not None
        limit = time.monotonic() + patience
        while not condition(await self._reader.read(self._service["name"])):
            if time.monotonic() > limit:
                return False
            await asyncio.sleep(_POLL)
        return True

    @staticmethod
    def _last_closed(journal: Mapping[str, Any]) -> bool:
        requests = journal["requests"]
        if requests:
            return requests[-1]["peer_closed"] is not None
        return bool(journal["connections"]) and journal["connections"][-1]["peer_closed"] is not None

    @staticmethod
    def _all_closed(journal: Mapping[str, Any]) -> bool:
        last = {request["connection"]: request for request in journal["requests"]}
        ended = {c["connection"] for c in journal["connections"] if c["closed"] is not None}
        still_open = [name for name, r in last.items() if r["peer_closed"] is None and name not in ended]
        return not still_open and all(c["connection"] in ended for c in journal["connections"])

    # Small things

    async def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        assert self._process is not None
        self.record.message_ids.append(message["id"])
        return protocol.read_reply(message["op"], await self._process.ask(message))

    async def _act(self, act: dict[str, Any]) -> dict[str, Any]:
        assert self._service is not None
        return await asyncio.to_thread(self._mock.act, self._service["name"], act)

    def _expect_at(self, place: str) -> Mapping[str, Any]:
        steps: Sequence[Mapping[str, Any]] = self._case.script
        step = steps[int(place.split("/")[2])] if place else steps[0]
        return for_language(step["expect"], self.record.language)

    def _note(
        self, place: str, call: Call, expect: Mapping[str, Any], reply: Mapping[str, Any], at: Literal["open", "call"]
    ) -> None:
        self.record.outcomes.append(Outcome(place, call, expect, reply, at))


def _members(call: Call) -> dict[str, Any]:
    return {**call.members, "rows": protocol.rows_in_bits(call.rows)} if call.op == "score" else call.members


def _watches(step: Mapping[str, Any]) -> bool:
    """Whether something waits for what happens during the call."""
    return "cancel" in step or any("wait" in inner for inner in step.get("meanwhile", ()))


def _places(steps: Sequence[Mapping[str, Any]]) -> int:
    """How many messages may be under way at once."""
    most = 1
    for step in steps:
        inner = step.get("meanwhile", ())
        beside = _places(inner) if inner else int("cancel" in step)
        most = max(most, step.get("calls", 1) + beside)
    return most
