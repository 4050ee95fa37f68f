"""What a scoring script is, and what its run() may return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

InputKind = Literal["schema", "text", "raw"]
"""How run() is called: with the members of a JSON object, with the body as text, or with the whole request."""


class _Required:
    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: Final = _Required()


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a decorated run(); without a default, a request must give it."""

    name: str
    default: object = REQUIRED


@dataclass(frozen=True, slots=True)
class Schema:
    """What @input_schema and @output_schema put into the OpenAPI document: the two definitions."""

    service_input: dict[str, Any]
    service_output: dict[str, Any]


class Script(Protocol):
    """A scoring script: the mock's counterpart of a score.py."""

    @property
    def kind(self) -> str:
        """The name by which admin input chooses it."""
        ...

    @property
    def takes(self) -> InputKind:
        """How run() wants its input."""
        ...

    @property
    def parameters(self) -> Sequence[Parameter]:
        """The parameters of a decorated run(); empty for the other kinds of input."""
        ...

    @property
    def schema(self) -> Schema | None:
        """The two definitions, None when run() is not decorated."""
        ...

    def run(self, value: Any) -> object:
        """Score. `value` is a dict of parameters, the body as text, or a `RawRequest`, as `takes` says.

        Any exception is a failure of the script. SystemExit ends the worker.
        """
        ...


@dataclass(slots=True)
class AmlResponse:
    """The answer of a script that chooses status, headers and body itself (W20).

    A value of `headers` with commas becomes one header line for each part. `json_body` encodes `message` as JSON.
    """

    message: Any
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    json_body: bool = False


@dataclass(slots=True)
class StreamResponse:
    """A streamed answer: chunked, of no declared length (W21)."""

    chunks: list[bytes]
    content_type: str


@dataclass(slots=True)
class Slept:
    """A result that took `seconds`: the mock does not block, it holds the answer back."""

    seconds: float
    result: object
