"""From case files to cases: schema, clauses, parameters; every mistake with its file and line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jsonschema.exceptions import ValidationError, relevance

from scoring_conformance import schemas
from scoring_conformance.cases.clauses import clauses
from scoring_conformance.cases.marked_yaml import MarkedDocument
from scoring_conformance.cases.model import Case, all_steps
from scoring_conformance.paths import repository
from scoring_conformance.problems import UsageProblem, unknown_name

_PLACEHOLDER = re.compile(r"\{((?:service|call|drawn|token|suite)\.[a-z_0-9]+)\}")
_EARLY = {
    *("service.name", "service.primary_key", "service.secondary_key", "call.key"),
    *("drawn.predictions", "drawn.predictions_"),
}
_LATE = {
    *("service.scoring_path", "service.swagger_path", "service.health_path", "service.scoring_uri"),
    *("service.origin", "service.address", "suite.refused", "token."),
}
_PARAMETER = re.compile(r"\{param\.([a-z_0-9]+)\}")


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
    deepest = _first_mistake(document.data)
    if deepest is not None:
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


def _first_mistake(cases: Any) -> ValidationError | None:
    """What is wrong with a file's cases, in the branch of a ``oneOf`` that came furthest."""
    check = schemas.validator("case-file")
    if check.is_valid(cases):
        return None
    error: ValidationError = max(check.iter_errors(cases), key=relevance)
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
    error = _first_mistake([raw]) if raw["id"] != template else None
    if error is not None:  # a parameter's value can break what the template kept
        raise UsageProblem(schemas.explain(error))
    return Case(
        id=raw["id"],
        title=raw["title"],
        why=" ".join(raw["why"].split()),
        clause=tuple(raw["clause"]),
        severity=raw["severity"],
        requires=tuple(raw.get("requires", ())),
        waits=raw.get("waits", False),
        service=raw.get("service"),
        call=raw.get("call"),
        expect=raw["expect"],
        path=path,
        line=line,
        template=template,
        client=raw.get("client"),
        steps=tuple(raw["steps"]) if "steps" in raw else None,
    )


def _check(case: Case) -> None:
    """What the schema cannot say."""
    for name in set(case.call or {}) & set(case.client or {}):
        raise UsageProblem(f"{name!r} stands in `call` and in `client`")
    _check_placeholders(case)
    _check_service(case)
    _check_provider(case)
    _check_steps(case)
    expect = case.expect
    requests = expect["requests"]
    for request in [requests["each"]] if isinstance(requests, dict) else requests:
        schema = request.get("body", {}).get("schema")
        if schema is not None and not schemas.exists(schema):
            raise UsageProblem(f"no such schema: conformance/schemas/{schema}.json")
        if "of" in request and request["of"] > len(scored(case)):
            raise UsageProblem(f"`of: {request['of']}`: there are {len(scored(case))} calls with a payload")
    if "retries" in expect and "on_retry" not in case.options:
        raise UsageProblem("`retries` needs `on_retry: tell` or `throw` in `client`")


def scored(case: Case) -> list[Mapping[str, Any]]:
    """The calls of a case that have a payload, in the order of the file; concurrent ones count each."""
    found: list[Mapping[str, Any]] = []
    for step in all_steps(case.script):
        if step.get("call", {}).get("op", "").startswith("score"):
            found += [step["call"]] * step.get("calls", 1)
    return found


def _check_placeholders(case: Case) -> None:
    """Every placeholder has a value where it stands."""
    for part, known in ((case.service, _EARLY), ((case.options, case.script, case.expect), _EARLY | _LATE)):
        for name in _PLACEHOLDER.findall(str(part)):
            if name.rstrip("0123456789") not in known:
                raise unknown_name("placeholder", f"{{{name}}}", [f"{{{each}}}" for each in known])


def _check_service(case: Case) -> None:
    uri = case.options.get("uri", "scoring")
    if (uri == "scoring" and case.service is None) or (uri == "refused" and case.service is not None):
        raise UsageProblem("a case has a service, or calls `uri: refused`; not both, not neither")
    if case.service is None and case.expect["requests"]:
        raise UsageProblem("nobody listens: expect.requests must be []")
    auth = case.service["auth"] if case.service is not None else "off"
    key = case.options.get("key")
    if case.service is not None and auth == "off" and key in ("primary", "secondary"):
        raise UsageProblem(f"a service with auth off has no {key} key")
    if key == "token" and auth != "token":
        raise UsageProblem("`key: token` needs a service with auth token")
    results = [step["expect"].get("result", {}) for step in all_steps(case.script) if "expect" in step]
    drawn = "{drawn" in str(case.service) + str(case.steps)
    if any(result.get("predictions") == "drawn" for result in results) and not drawn:
        raise UsageProblem("`predictions: drawn` needs a scripted reply that uses {drawn.predictions}")
    if any(result.get("predictions") == "model" for result in results) and case.service and "replies" in case.service:
        raise UsageProblem("`predictions: model` needs a service without scripted replies")


def _check_provider(case: Case) -> None:
    answers = case.options.get("token_provider", [])
    issued = any(answer.get("token") in ("issued", "expired") for answer in answers)
    if issued and (case.service is None or case.service["auth"] != "token"):
        raise UsageProblem("a token that is issued needs a service with auth token")
    if answers and answers[0].get("token") == "same":
        raise UsageProblem("`token: same` needs an answer before it")
    released = any("release" in step for step in all_steps(case.script))
    if any("after" in answer for answer in answers) != released:
        raise UsageProblem("`after: release` and the step `release: true` need each other")
    if case.expect.get("asks") and "token_provider" not in case.options:
        raise UsageProblem("`asks` needs a `token_provider` in `client`")


def _check_steps(case: Case) -> None:
    if any(step.get("cancel") is True or "wait" in step or "release" in step for step in case.script):
        raise UsageProblem("the steps `cancel: true`, `wait` and `release` stand in `meanwhile`")
    for step in all_steps(case.script):
        cancel = step.get("cancel")
        wait = cancel["when"] if isinstance(cancel, dict) else step.get("wait", {}).get("for")
        if wait == "retry-told" and "on_retry" not in case.options:
            raise UsageProblem("`retry-told` needs `on_retry` in `client`")
        if wait == "token-asked" and "token_provider" not in case.options:
            raise UsageProblem("`token-asked` needs a `token_provider` in `client`")
        if wait == "connection-seen" and "listeners" not in (case.service or {}):
            raise UsageProblem("`connection-seen` needs a service with `listeners` of its own")
        if case.service is None and ("act" in step or wait == "request-seen"):
            raise UsageProblem("this step needs a service")
