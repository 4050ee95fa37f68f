"""From cases, clients and a seed to calls: every name, key, row and scripted number is drawn here."""

from __future__ import annotations

import base64
import json
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

_PLACEHOLDER = re.compile(r"\{(?:service|call|drawn|token|suite)\.[a-z_0-9]+\}")
_KEY_LETTERS = string.ascii_letters + string.digits
_KEY_LENGTH = 32
_TOKEN_LENGTH = 1200


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it will be asked."""

    op: str
    members: dict[str, Any]
    """Those of the protocol's request, but for rows."""
    rows: Rows
    drawn: list[float]
    """Predictions that a scripted reply gives, one a row."""

    @property
    def payload(self) -> bool:
        """Whether it sends one."""
        return self.op.startswith("score")

    @property
    def body(self) -> bytes:
        """The bytes of a call of ``score_bytes``, the text of one of ``score_json``."""
        if self.op == "score_json":
            return str(self.members["json"]).encode()
        return base64.b64decode(self.members.get("body", ""))


@dataclass(slots=True)
class Planned:
    """One case for one client, ready to be asked."""

    client: str
    case: Case
    service: dict[str, Any] | None
    """The admin plane's spec of the case's own service."""
    calls: dict[str, list[Call]]
    """By the place of the step; more than one where they are made at the same moment."""
    key: str | None
    secrets: dict[str, str] = field(default_factory=dict)
    """Planted credentials by what they are called in a report."""
    values: dict[str, str] = field(default_factory=dict)
    """What placeholders stand for that does not need the deployed service."""
    unknown_token: str = ""

    @property
    def payloads(self) -> list[Call]:
        """The calls that send something, in the order of the file."""
        return [call for calls in self.calls.values() for call in calls if call.payload]

    @property
    def rows(self) -> Rows:
        """Those of the first call that has any."""
        return next((call.rows for call in self.payloads if call.op == "score"), [])

    @property
    def drawn(self) -> list[float]:
        """The scripted predictions for those rows."""
        return next((call.drawn for call in self.payloads if call.op == "score"), [])


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
    service = {"name": name, "profile": "aks-v1", "auth": "off"}
    return Planned(client, case, service, {"": [Call("score", {}, rows, [])]}, None)


def fill(node: Any, values: Mapping[str, str]) -> Any:
    """A part of a case with its placeholders replaced; one without a value says so."""
    if isinstance(node, dict):
        return {key: fill(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [fill(value, values) for value in node]
    if isinstance(node, str):
        return _PLACEHOLDER.sub(lambda m: values.get(m[0][1:-1], f"<no {m[0][1:-1]}>"), node)
    return node


def _plan(case: Case, client: str, seed: str) -> Planned:
    draw = random.Random(f"{seed}/{client}/{case.id}")  # noqa: S311 (reproducible on purpose)
    name = _name(draw)
    keys = {kind: "".join(draw.choices(_KEY_LETTERS, k=_KEY_LENGTH)) for kind in ("primary", "secondary", "unknown")}
    calls = _calls(case, draw)
    values = {
        "service.name": name,
        "service.primary_key": keys["primary"],
        "service.secondary_key": keys["secondary"],
        "call.key": keys["unknown"],
    }
    scores = [call for each in calls.values() for call in each if call.op == "score"]
    for number, call in enumerate(scores, 1):
        values[f"drawn.predictions_{number}"] = "[" + ", ".join(map(repr, call.drawn)) + "]"
    values["drawn.predictions"] = values.get("drawn.predictions_1", "[]")
    for each in calls.values():
        each[:] = [Call(c.op, fill(c.members, values), c.rows, c.drawn) for c in each]
    secrets = {f"{kind} key": key for kind, key in keys.items()}
    key = _key(case, keys, values)
    unknown = ""
    if "token_provider" in case.options:
        unknown = ".".join("".join(draw.choices(_KEY_LETTERS + "-_", k=n)) for n in (36, _TOKEN_LENGTH, 43))
        secrets["unknown token"] = unknown
    return Planned(client, case, _service(case, name, keys, values), calls, key, secrets, values, unknown)


def _calls(case: Case, draw: random.Random) -> dict[str, list[Call]]:
    """Every call of a case by the place of its step."""
    if case.steps is None:
        return {"": [_call(case.script[0]["call"], draw)]}
    return _calls_of(case.steps, "/steps", draw)


def _calls_of(steps: Sequence[Mapping[str, Any]], place: str, draw: random.Random) -> dict[str, list[Call]]:
    found: dict[str, list[Call]] = {}
    for index, step in enumerate(steps):
        here = f"{place}/{index}"
        if "call" in step:
            found[here] = [_call(step["call"], draw) for _ in range(step.get("calls", 1))]
            found |= _calls_of(step.get("meanwhile", ()), f"{here}/meanwhile", draw)
    return found


def _call(call: Mapping[str, Any], draw: random.Random) -> Call:
    members: dict[str, Any] = {"timeout": call["timeout"]} if "timeout" in call else {}
    rows: Rows = []
    drawn: list[float] = []
    if call["op"] == "score":
        rows = _rows(call["rows"], draw)
        drawn = [draw.uniform(-1000.0, 1000.0) for _ in rows]
    elif call["op"] == "score_json":
        sent = call["json"]
        members["json"] = sent if isinstance(sent, str) else json.dumps(sent)
    elif call["op"] == "score_bytes":
        body = call["body"]
        sent = draw.randbytes(body["random"]) if "random" in body else content(body)
        members["body"] = base64.b64encode(sent).decode()
        if "content_type" in call:
            members["content_type"] = call["content_type"]
    return Call(call["op"], members, rows, drawn)


def content(body: Mapping[str, Any]) -> bytes:
    """The bytes that ``{text}``, ``{base64}`` or ``{repeat}`` stand for."""
    if "base64" in body:
        return base64.b64decode(body["base64"])
    if "repeat" in body:
        return str(body["repeat"]["text"]).encode() * int(body["repeat"]["count"])
    return str(body["text"]).encode()


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
    options = case.options
    fixed = case.service is not None and case.service["auth"] == "key" and "token_provider" not in options
    wanted = options.get("key", "primary" if fixed else "none")
    if isinstance(wanted, dict):
        return str(fill(wanted["text"], values))
    return None if wanted in ("none", "token") else keys[wanted]


def _service(case: Case, name: str, keys: Mapping[str, str], values: Mapping[str, str]) -> dict[str, Any] | None:
    if case.service is None:
        return None
    spec: dict[str, Any] = {**case.service, "name": name}
    if spec["auth"] == "key":
        spec.update(primary_key=keys["primary"], secondary_key=keys["secondary"])
    for name in ("replies", "swagger_replies", "health_replies"):
        if name in spec:
            spec[name] = [reply_for(reply, values) for reply in spec[name]]
    return spec


def reply_for(reply: dict[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    """A scripted reply as the mock takes it."""
    filled: dict[str, Any] = fill(reply, values)
    repeat = filled.get("body", {}).get("repeat")
    if isinstance(repeat, dict):
        filled["body"] = {"text": repeat["text"], "repeat": repeat["count"]}
    return filled
