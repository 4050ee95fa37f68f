"""From case files to cases: schema, clauses, parameters; every mistake with its file and line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from scoring_conformance import schemas
from scoring_conformance.cases.clauses import clauses
from scoring_conformance.cases.marked_yaml import MarkedDocument
from scoring_conformance.cases.model import Case
from scoring_conformance.paths import repository
from scoring_conformance.problems import UsageProblem, unknown_name

_PARAMETER = re.compile(r"\{param\.([a-z_]+)\}")


def load_cases(folder: Path | None = None) -> list[Case]:
    """All cases of a folder (default: the suite's own), in the order of file names and of the files.

    Raises:
        UsageProblem: a file is broken; the line says which, where, and what is expected.
    """
    folder = folder or repository() / "conformance" / "cases"
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise UsageProblem(f"{folder}: no case file (*.yaml) there")
    found: dict[str, Case] = {}
    for path in paths:
        for case in _read(path):
            if case.id in found:
                other = found[case.id]
                raise UsageProblem(
                    f"{path}:{case.line}: the case id {case.id!r} stands in {other.path}:{other.line} already"
                )
            found[case.id] = case
    return list(found.values())


def _read(path: Path) -> Iterable[Case]:
    document = MarkedDocument(path)
    error = schemas.first_error("case-file", document.data)
    if error is not None:
        deepest = _deepest(error)
        raise UsageProblem(f"{path}:{document.line(list(deepest.absolute_path))}: {schemas.explain(deepest)}")
    for index, raw in enumerate(document.data):
        line = document.line([index, "id"])
        for position, clause in enumerate(raw["clause"]):
            if clause not in clauses():
                where = document.line([index, "clause", position])
                raise UsageProblem(f"{path}:{where}: {unknown_name('clause', clause, clauses())}")
        try:
            for filled in _expand(raw):
                case = _case(filled, path, line, raw["id"])
                _check(case)
                yield case
        except UsageProblem as problem:
            raise UsageProblem(f"{path}:{line}: {raw['id']}: {problem}") from problem


def _deepest(error: Any) -> Any:
    """The branch of a ``oneOf`` that came furthest says more than the ``oneOf`` itself."""
    while error.context:
        error = max(
            error.context,
            key=lambda e: (len(e.absolute_path), e.validator != "const", e.validator != "pattern"),
        )
    return error


def _expand(raw: dict[str, Any]) -> Iterable[dict[str, Any]]:
    template = {k: v for k, v in raw.items() if k != "parameters"}
    if "parameters" not in raw:
        yield _fill(template, {}, set())
        return
    for values in raw["parameters"]:
        used: set[str] = set()
        filled = _fill(template, values, used)
        filled["id"] = f"{raw['id']}/{values['id']}"
        if unused := set(values) - used - {"id"}:
            raise UsageProblem(f"parameter {sorted(unused)[0]!r} of {values['id']!r} is not used by the case")
        yield filled
    if len({v["id"] for v in raw["parameters"]}) != len(raw["parameters"]):
        raise UsageProblem("two entries of parameters have the same id")


def _fill(node: Any, values: dict[str, Any], used: set[str]) -> Any:
    if isinstance(node, dict):
        return {key: _fill(value, values, used) for key, value in node.items()}
    if isinstance(node, list):
        return [_fill(value, values, used) for value in node]
    if not isinstance(node, str):
        return node
    for name in _PARAMETER.findall(node):
        if name not in values:
            raise UsageProblem(f"{{param.{name}}} has no value in parameters")
        used.add(name)
    if whole := _PARAMETER.fullmatch(node):
        return values[whole[1]]
    return _PARAMETER.sub(lambda m: str(values[m[1]]), node)


def _case(raw: dict[str, Any], path: Path, line: int, template: str) -> Case:
    error = schemas.first_error("case-file", [raw])
    if error is not None:  # a parameter's value can break what the template kept
        raise UsageProblem(schemas.explain(_deepest(error)))
    return Case(
        id=raw["id"],
        title=raw["title"],
        why=" ".join(raw["why"].split()),
        clause=tuple(raw["clause"]),
        severity=raw["severity"],
        requires=tuple(raw.get("requires", ())),
        waits=raw.get("waits", False),
        service=raw.get("service"),
        call=raw["call"],
        expect=raw["expect"],
        path=path,
        line=line,
        template=template,
    )


def _check(case: Case) -> None:
    """What the schema cannot say."""
    refused = case.call.get("uri") == "refused"
    if refused == (case.service is not None):
        raise UsageProblem("a case has a service, or calls `uri: refused`; not both, not neither")
    if refused and case.expect["requests"]:
        raise UsageProblem("nobody listens at `uri: refused`: expect.requests must be []")
    if case.service is not None:
        key = case.call.get("key")
        if case.service["auth"] == "off" and key in ("primary", "secondary"):
            raise UsageProblem(f"a service with auth off has no {key} key")
    for request in case.expect["requests"]:
        schema = request.get("body", {}).get("schema")
        if schema is not None and not schemas.exists(schema):
            raise UsageProblem(f"no such schema: conformance/schemas/{schema}.json")
    if case.expect.get("result", {}).get("predictions") == "drawn" and "{drawn" not in str(case.service):
        raise UsageProblem("`predictions: drawn` needs a scripted reply that uses {drawn.predictions}")
    if case.expect.get("result", {}).get("predictions") == "model" and case.service and "replies" in case.service:
        raise UsageProblem("`predictions: model` needs a service without scripted replies")
