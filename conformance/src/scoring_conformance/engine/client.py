"""One client during a run: its process, its positive control, its restarts, and what it did outside any case."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from scoring_conformance import protocol
from scoring_conformance.clients.manifest import Manifest
from scoring_conformance.clients.process import AdapterFailure, AdapterProcess
from scoring_conformance.engine.lane import Lane
from scoring_conformance.engine.plan import Planned

_NARROW = 8  # calls in flight; measured: short calls stay short
_WIDE = 64  # calls that wait on a clock
_RESTARTS = 3


class ClientFailure(Exception):
    """The client gave no answer that can be judged."""


@dataclass(slots=True)
class OpenClient:
    """A client that the adapter keeps for one case, and who hears what it asks and tells."""

    name: str
    on_ask: Callable[[dict[str, Any]], None]
    on_tell: Callable[[dict[str, Any]], None]
    is_open: bool = False
    calls: int = 0
    """Calls under way."""
    gave_up: bool = False
    """A caller left before the end; a fetch that it began may go on without it."""


class RunningClient:
    """A client that is asked case by case, many at a time."""

    def __init__(self, manifest: Manifest, deadline: float) -> None:
        self.manifest = manifest
        self.hello: protocol.Hello | None = None
        self.violations: list[str] = []
        """What it did wrong that belongs to no case."""
        self.spoiled: dict[str, str] = {}
        """Requests (by message id) that got a second reply."""
        self.stderr = ""
        self._deadline = deadline
        self._process: AdapterProcess | None = None
        self._restarts = 0
        self._starting = asyncio.Lock()
        self._lanes: dict[bool, Lane] = {}
        self._opened: dict[str, OpenClient] = {}
        self._dead: str | None = None

    async def start(self) -> protocol.Hello:
        """Start it and exchange greetings.

        Raises:
            ClientFailure: it does not get that far.
        """
        async with self._starting:
            if self.hello is None:
                try:
                    await self._start()
                except ClientFailure as failure:
                    self._dead = str(failure)
                    raise
                assert self.hello is not None
                places = self.hello.max_in_flight  # of both lanes together
                narrow = Lane(min(_NARROW, max(1, places // 2)))
                self._lanes = {False: narrow, True: Lane(min(_WIDE, places - narrow.places)) if places > 1 else narrow}
            return self.hello

    @property
    def level(self) -> int:
        """The protocol's level that it speaks."""
        return self.hello.level if self.hello is not None else 1

    async def score(self, planned: Planned, scoring_uri: str) -> tuple[str, dict[str, Any], float]:
        """Ask for one score at level 1; the message's id, the reply, and the seconds until it came.

        Raises:
            ClientFailure: no reply that matches the protocol came.
        """
        async with self.process(waits=planned.case.waits) as process:
            message = protocol.score_request(secrets.token_hex(12), scoring_uri, planned.key, planned.rows)
            started = time.monotonic()
            try:
                reply = protocol.read_score(await process.ask(message), self.level)
                return message["id"], reply, time.monotonic() - started
            except (AdapterFailure, protocol.ProtocolViolation) as failure:
                raise ClientFailure(str(failure)) from failure

    @contextlib.asynccontextmanager
    async def process(self, *, waits: bool, places: int = 1) -> AsyncIterator[AdapterProcess]:
        """The process, with places for so many messages at once.

        Raises:
            ClientFailure: it is dead.
        """
        async with self._lanes[waits].held(places):
            await self._restarted()
            assert self._process is not None
            yield self._process

    def expect(self, client: OpenClient) -> None:
        """Deliver what the adapter asks and tells for this client; what it says of any other is a violation."""
        self._opened[client.name] = client

    async def close(self) -> None:
        """End it."""
        if self._process is not None:
            await self._process.close()
            self.stderr += self._process.stderr

    async def _start(self) -> None:
        process = AdapterProcess(self.manifest, self._deadline, self._violated, self._event)
        try:
            await process.start()
            self._process = process
            self.hello = protocol.read_hello(await process.ask(protocol.hello_request(secrets.token_hex(12))))
            unknown = await process.ask({"id": secrets.token_hex(12), "op": secrets.token_hex(6)})
        except (AdapterFailure, protocol.ProtocolViolation) as failure:
            raise ClientFailure(str(failure)) from failure
        if not isinstance(unknown.get("unsupported"), str):
            raise ClientFailure("a request that does not exist was not answered with `unsupported`")

    async def _restarted(self) -> None:
        """A process that died in one case serves the next ones anew, a few times."""
        async with self._starting:
            if self._dead is not None:
                raise ClientFailure(self._dead)
            if self._process is None or not self._process.failed:
                return
            if self._restarts >= _RESTARTS:
                self._dead = f"it ended or hung {_RESTARTS + 1} times and is not started again"
                raise ClientFailure(self._dead)
            self._restarts += 1
            await self.close()
            try:
                await self._start()
            except ClientFailure as failure:
                self._dead = str(failure)
                raise

    def _event(self, message: dict[str, Any]) -> None:
        kind = "ask" if "ask" in message else "tell"
        try:
            protocol.read_event(message)
        except protocol.ProtocolViolation as violation:
            self.violations.append(str(violation))
            return
        name = message["client"]
        client = self._opened.get(name)
        if client is None:
            self.violations.append(f"`{kind}` for a client that was never opened: {name!r}")
        elif not client.is_open and not client.calls:
            self.violations.append(f"`{kind}` for a client that is not open")
        elif not client.calls and (kind == "tell" or not client.gave_up):
            self.violations.append(f"`{kind}` while no call is under way")
        elif kind == "ask":
            client.on_ask(message)
        else:
            client.on_tell(message)

    def _violated(self, message_id: str | None, what: str) -> None:
        if message_id is None:
            self.violations.append(what)
        else:
            self.spoiled[message_id] = what
