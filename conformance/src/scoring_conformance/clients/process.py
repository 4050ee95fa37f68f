"""One long-lived adapter process: requests in, replies out in any order, and survival of whatever it does wrong."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from typing import Any

from scoring_conformance import protocol
from scoring_conformance.clients.build import fill
from scoring_conformance.clients.environment import clean_environment
from scoring_conformance.clients.manifest import Manifest

_LINE_LIMIT = 64 << 20
_STDERR_KEPT = 1 << 20
_EXIT_GRACE = 10.0


class AdapterFailure(Exception):
    """The adapter did something that no working adapter does; the text says what and ends with its standard error."""


class AdapterProcess:
    """A started adapter."""

    def __init__(
        self,
        manifest: Manifest,
        deadline: float,
        on_violation: Callable[[str | None, str], None],
        on_event: Callable[[dict[str, Any]], None],
    ) -> None:
        """Nothing is started yet.

        Args:
            manifest: how to start it.
            deadline: seconds that it may take for one reply.
            on_violation: told of a reply that nobody asked for, with the id that it used (if any) and what is wrong.
            on_event: told of a line that is a question or news, not a reply.
        """
        self._manifest = manifest
        self._deadline = deadline
        self._on_violation = on_violation
        self._on_event = on_event
        self._event_ids: set[str] = set()
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._answered: set[str] = set()
        self._stderr = bytearray()
        self._process: asyncio.subprocess.Process | None = None
        self._readers: list[asyncio.Task[None]] = []
        self._failure: str | None = None
        self._write_lock = asyncio.Lock()

    @property
    def stderr(self) -> str:
        """The end of what it wrote to standard error."""
        return self._stderr.decode("utf-8", "replace")

    @property
    def failed(self) -> bool:
        """Whether it is of no further use."""
        return self._failure is not None

    async def start(self) -> None:
        """Start the process.

        Raises:
            AdapterFailure: it cannot be started.
        """
        words = fill(self._manifest.run, self._manifest)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=self._manifest.folder,
                env=clean_environment(self._manifest.env),
                limit=_LINE_LIMIT,
                start_new_session=True,  # so that it can be killed with everything that it started
            )
        except OSError as error:
            self._failure = f"`{words[0]}` cannot be started: {error.strerror}"
            raise AdapterFailure(self._failure) from error
        self._readers = [asyncio.create_task(self._read_stdout()), asyncio.create_task(self._read_stderr())]

    async def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Send one request and wait for its reply.

        Raises:
            AdapterFailure: it died, broke the protocol, or let the deadline pass; in the last case it is killed.
        """
        if self._failure is not None:
            raise AdapterFailure(self._failure)
        reply: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[message["id"]] = reply
        try:
            async with asyncio.timeout(self._deadline):
                await self.send(message)
                return await asyncio.shield(reply)
        except TimeoutError:
            op = message["op"]
            self._fail(f"no reply to `{op}` within {self._deadline:g} s: killed")
            self.kill()
            await self._drained()
            raise AdapterFailure(self.describe(self._failure or "")) from None
        finally:
            if self._waiting.pop(message["id"], None) is not None:
                self._answered.add(message["id"])
            if not reply.done():
                reply.cancel()
            elif not reply.cancelled():
                reply.exception()  # read, so that a failure that nobody awaited is not logged

    async def send(self, message: dict[str, Any]) -> None:
        """Write one line that gets no reply of its own."""
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):  # then the reader sees the end of its output and says why
            async with self._write_lock:
                self._process.stdin.write(protocol.encode(message))
                await self._process.stdin.drain()

    async def close(self) -> None:
        """End of input, a while to finish, then a kill; nothing of its process group is left."""
        if self._process is None:
            return
        with contextlib.suppress(ConnectionError, OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            async with asyncio.timeout(min(_EXIT_GRACE, self._deadline)):
                await self._process.wait()
        except TimeoutError:
            if not self.failed:
                self._on_violation(None, "it did not end when its input ended")
        self.kill()
        await self._drained()

    def kill(self) -> None:
        """Kill the process with everything that it started."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def describe(self, what: str) -> str:
        """A failure with the end of the adapter's standard error."""
        tail = "\n".join(self.stderr.strip().splitlines()[-15:])
        return f"{what}; standard error:\n{tail}" if tail else f"{what}; nothing on standard error"

    async def _drained(self) -> None:
        assert self._process is not None
        await self._process.wait()
        _, pending = await asyncio.wait(self._readers, timeout=1.0) if self._readers else (set(), set())
        for task in pending:  # a grandchild outside the group can hold the pipes open
            task.cancel()
        transport = getattr(self._process, "_transport", None)
        if transport is not None:
            transport.close()

    async def _read_stdout(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            while line := await self._process.stdout.readline():
                self._take(protocol.decode(line))
        except protocol.ProtocolViolation as violation:
            self._fail(str(violation))
            self.kill()
            return
        except ValueError:
            self._fail(f"a line on standard output is longer than {_LINE_LIMIT} bytes")
            self.kill()
            return
        status = await self._process.wait()
        await asyncio.wait(self._readers[1:], timeout=1.0)
        self._fail(
            f"it ended with status {status} while {len(self._waiting)} replies were due"
            if self._waiting
            else "it has ended"
        )

    async def _read_stderr(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(65536):
            self._stderr += chunk
            if len(self._stderr) > _STDERR_KEPT:
                del self._stderr[: len(self._stderr) - _STDERR_KEPT]

    def _take(self, message: dict[str, Any]) -> None:
        name = message["id"]
        if protocol.is_event(message):
            if name in self._event_ids:
                self._on_violation(None, f"an id of a question or of news was used twice: {name[:64]!r}")
            self._event_ids.add(name)
            self._on_event(message)
            return
        reply = self._waiting.get(name)
        if reply is not None and not reply.done():
            reply.set_result(message)
        elif reply is not None or name in self._answered:
            self._on_violation(name, "a second reply to one request")
        else:
            self._on_violation(None, f"a reply to a request that was never made: {name[:64]!r}")

    def _fail(self, what: str) -> None:
        if self._failure is None:
            self._failure = what
        for reply in self._waiting.values():
            if not reply.done():
                reply.set_exception(AdapterFailure(self.describe(what)))
