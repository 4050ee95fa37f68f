"""From cases, clients and a seed to calls: every name, key, row and scripted number is drawn here."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scoring_conformance.cases import article
from scoring_conformance.cases.model import Case

Rows = list[list[float]]

_PLACEHOLDER = re.compile(r"\{(?:service|call|drawn)\.[a-z_]+\}")
_KEY_LETTERS = string.ascii_letters + string.digits
_KEY_LENGTH = 32


@dataclass(slots=True)
class Planned:
    """One case for one client, ready to be asked."""

    client: str
    case: Case
    service: dict[str, Any] | None
    """The admin plane's spec of the case's own service."""
    rows: Rows
    drawn: list[float]
    """Predictions that a scripted reply gives, one a row."""
    key: str | None
    secrets: dict[str, str] = field(default_factory=dict)
    """Planted credentials by what they are called in a report."""


def plan(cases: Sequence[Case], clients: Sequence[str], seed: str) -> list[Planned]:
    """Every case for every client. The same seed gives the same plan, whatever else is selected."""
    return [_plan(case, client, seed) for case in cases for client in clients]


def control(client: str, seed: str) -> Planned:
    """The positive control: three random rows scored by a service without authentication."""
    draw = random.Random(f"{seed}/{client}/control")  # noqa: S311 (reproducible on purpose)
    name = _name(draw)
    rows = _random_rows(draw, 3)
    case = Case(
        id="control/positive",
        title="The client can score at all",
        why="A client that fails every call would pass every case that expects a failure.",
        clause=("B10", "B51"),
        severity="must",
        requires=(),
        waits=False,
        service={"profile": "aks-v1", "auth": "off"},
        call={"op": "score", "rows": {"random": 3}},
        expect={
            "requests": [
                {
                    "method": "POST",
                    "path": "{service.scoring_path}",
                    "body": {"schema": "article-request", "rows": "sent"},
                }
            ],
            "result": {"predictions": "model"},
        },
        path=Path(__file__),
        line=1,
        template="control/positive",
    )
    return Planned(client, case, {"name": name, "profile": "aks-v1", "auth": "off"}, rows, [], None)


def fill(node: Any, values: Mapping[str, str]) -> Any:
    """A part of a case with its placeholders replaced."""
    if isinstance(node, dict):
        return {key: fill(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [fill(value, values) for value in node]
    if isinstance(node, str):
        return _PLACEHOLDER.sub(lambda m: values[m[0][1:-1]], node)
    return node


def _plan(case: Case, client: str, seed: str) -> Planned:
    draw = random.Random(f"{seed}/{client}/{case.id}")  # noqa: S311 (reproducible on purpose)
    name = _name(draw)
    keys = {kind: "".join(draw.choices(_KEY_LETTERS, k=_KEY_LENGTH)) for kind in ("primary", "secondary", "unknown")}
    rows = _rows(case.call["rows"], draw)
    drawn = [draw.uniform(-1000.0, 1000.0) for _ in rows]
    values = {
        "service.name": name,
        "service.primary_key": keys["primary"],
        "service.secondary_key": keys["secondary"],
        "call.key": keys["unknown"],
        "drawn.predictions": "[" + ", ".join(map(repr, drawn)) + "]",
    }
    secrets = {f"{kind} key": key for kind, key in keys.items()}
    key = _key(case, keys, values)
    return Planned(client, case, _service(case, name, keys, values), rows, drawn, key, secrets)


def _name(draw: random.Random) -> str:
    return "s" + "".join(draw.choices(string.ascii_lowercase + string.digits, k=19))


def _random_rows(draw: random.Random, count: int) -> Rows:
    return [[draw.uniform(-0.2, 0.2) for _ in range(article.FEATURES)] for _ in range(count)]


def _rows(wanted: Any, draw: random.Random) -> Rows:
    if wanted == "article":
        return [list(row) for row in article.ROWS]
    if wanted == "random":
        return _random_rows(draw, draw.randint(1, 6))
    if "random" in wanted:
        return _random_rows(draw, wanted["random"])
    return [[float(cell) for cell in row] for row in wanted["values"]]


def _key(case: Case, keys: Mapping[str, str], values: Mapping[str, str]) -> str | None:
    default = "primary" if case.service is not None and case.service["auth"] == "key" else "none"
    wanted = case.call.get("key", default)
    if isinstance(wanted, dict):
        return str(fill(wanted["text"], values))
    return None if wanted == "none" else keys[wanted]


def _service(case: Case, name: str, keys: Mapping[str, str], values: Mapping[str, str]) -> dict[str, Any] | None:
    if case.service is None:
        return None
    spec: dict[str, Any] = {**case.service, "name": name}
    if spec["auth"] == "key":
        spec.update(primary_key=keys["primary"], secondary_key=keys["secondary"])
    if "replies" in spec:
        spec["replies"] = [_reply(reply, values) for reply in spec["replies"]]
    return spec


def _reply(reply: dict[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    filled: dict[str, Any] = fill(reply, values)
    repeat = filled.get("body", {}).get("repeat")
    if repeat is not None:
        filled["body"] = {"text": repeat["text"] * repeat["count"]}
    return filled
