"""One client during a run: its process, its positive control, its restarts, and what it did outside any case."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

from scoring_conformance import protocol
from scoring_conformance.clients.manifest import Manifest
from scoring_conformance.clients.process import AdapterFailure, AdapterProcess
from scoring_conformance.engine.plan import Planned

_NARROW = 8  # calls in flight; measured: short calls stay short
_WIDE = 64  # calls that wait on a clock
_RESTARTS = 3


class ClientFailure(Exception):
    """The client gave no answer that can be judged."""


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
        self._lanes: dict[bool, asyncio.Semaphore] = {}
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
                narrow = min(_NARROW, self.hello.max_in_flight)
                self._lanes = {
                    False: asyncio.Semaphore(narrow),
                    True: asyncio.Semaphore(min(_WIDE, self.hello.max_in_flight)),
                }
            return self.hello

    async def score(self, planned: Planned, scoring_uri: str) -> tuple[str, dict[str, Any]]:
        """Ask for one score; the message's id and the reply.

        Raises:
            ClientFailure: no reply that matches the protocol came.
        """
        async with self._lanes[planned.case.waits]:
            await self._restarted()
            process = self._process
            assert process is not None
            message = protocol.score_request(secrets.token_hex(12), scoring_uri, planned.key, planned.rows)
            try:
                reply = await process.ask(message)
                return message["id"], protocol.read_score(reply)
            except (AdapterFailure, protocol.ProtocolViolation) as failure:
                raise ClientFailure(str(failure)) from failure

    async def close(self) -> None:
        """End it."""
        if self._process is not None:
            await self._process.close()
            self.stderr += self._process.stderr

    async def _start(self) -> None:
        process = AdapterProcess(self.manifest, self._deadline, self._violated)
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

    def _violated(self, message_id: str | None, what: str) -> None:
        if message_id is None:
            self.violations.append(what)
        else:
            self.spoiled[message_id] = what
