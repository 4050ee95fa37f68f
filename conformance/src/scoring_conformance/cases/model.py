"""A case after its file was read, checked and expanded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

PLACES = ("key", "uri", "listener")
"""Members of ``client`` that may stand in ``call`` instead."""
_LEVEL_2_ERRORS = {"at", "retry_after", "model_status", "model_reason", "run_function_failed"}
_LEVEL_2_EXPECTATIONS = ("asks", "retries", "peer_closed", "released", "connections")


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that a client must get right.

    ``service``, ``client``, ``call``, ``steps`` and ``expect`` keep the grammar of ``schemas/case-file.json``;
    placeholders in braces are filled when the run is planned and when it goes on: they name what the case gets then.
    """

    id: str
    title: str
    why: str
    clause: tuple[str, ...]
    severity: Literal["must", "should"]
    requires: tuple[str, ...]
    waits: bool
    service: dict[str, Any] | None
    call: dict[str, Any] | None
    expect: dict[str, Any]
    path: Path
    line: int
    template: str
    """The id that stands in the file: the case's own, or that of the template it was made from."""
    client: dict[str, Any] | None = None
    steps: tuple[dict[str, Any], ...] | None = None

    @property
    def options(self) -> dict[str, Any]:
        """How the client is made, wherever the file says it."""
        return {**{k: v for k, v in (self.call or {}).items() if k in PLACES}, **(self.client or {})}

    @property
    def ca_file(self) -> Any:
        """Which certificates the client is told to trust."""
        https = str(self.options.get("listener", "")).startswith("https")
        return self.options.get("ca_file", "mock" if https else "none")

    @property
    def script(self) -> tuple[dict[str, Any], ...]:
        """What happens, as steps; a single call is one step."""
        if self.steps is not None:
            return self.steps
        call = {k: v for k, v in (self.call or {}).items() if k not in PLACES}
        return (
            {"call": call, "expect": {k: v for k, v in self.expect.items() if k in ("result", "error", "instead")}},
        )

    @property
    def level(self) -> int:
        """The protocol's level that it needs."""
        call = self.call
        if call is None or self.client is not None or call["op"] != "score" or {"listener", "timeout"} & set(call):
            return 2
        if any(name in self.expect for name in _LEVEL_2_EXPECTATIONS):
            return 2
        return 2 if _LEVEL_2_ERRORS & set(self.expect.get("error", {})) else 1

    @property
    def needs(self) -> frozenset[str]:
        """The capabilities of an adapter that it needs."""
        found = set(self.requires)
        found |= {"token_provider", "on_retry", "proxy"} & set(self.options)
        if self.ca_file != "none":
            found.add("ca_file")
        if any("cancel" in step for step in all_steps(self.script)):
            found.add("cancel")
        if self.expect.get("released"):
            found.add("close")
        return frozenset(found)

    @property
    def negative(self) -> bool:
        """Whether the case expects a call to fail, so that it counts only after a positive control."""
        return any("error" in step.get("expect", {}) for step in all_steps(self.script))


def all_steps(steps: tuple[Mapping[str, Any], ...] | list[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Steps with those that happen meanwhile, in the order of the file."""
    for step in steps:
        yield step
        yield from all_steps(step.get("meanwhile", ()))


def for_language(expect: Mapping[str, Any], language: str) -> Mapping[str, Any]:
    """The expectation that holds for a language."""
    chosen: Mapping[str, Any] = expect.get("instead", {}).get(language, expect)
    return chosen
