"""The pages that are made from data: the cases, what turns them red, and the clients' behaviour with its proofs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from scoring_conformance import kills
from scoring_conformance.cases.marked_yaml import MarkedDocument
from scoring_conformance.cases.model import Case
from scoring_conformance.mutants import load_declarations
from scoring_conformance.paths import repository
from scoring_conformance.problems import UsageProblem
from scoring_conformance.proofs import LANGUAGES, case_proofs, unit_proofs

_BEGIN = "<!-- begin: behaviour, made by `conformance pages` -->"
_END = "<!-- end: behaviour -->"
_SHOWN_TESTS = 3


def pages(cases: Sequence[Case]) -> dict[str, str]:
    """Every generated page by its path in the repository.

    Raises:
        UsageProblem: a page lost the marks between which it is generated, or a ``mutant.toml`` is broken.
    """
    return {
        "conformance/CASES.md": _cases(cases),
        "conformance/KILLS.md": kills.page(load_declarations(), cases),
        "clients/README.md": _behaviour(cases),
    }


def rules() -> dict[str, Any]:
    """The rules of the clients' behaviour, by id."""
    found: dict[str, Any] = MarkedDocument(repository() / "conformance" / "clauses" / "behaviour.yaml").data
    return found


def _cases(cases: Sequence[Case]) -> str:
    lines = [
        "# The cases",
        "",
        f"{len(cases)} cases, made by `conformance pages` from [`cases/`](cases/).",
        "`conformance explain CASE` shows one whole.",
    ]
    for path, group in groupby(cases, key=lambda c: c.path):
        lines += [
            "",
            f"## [{path.name}](cases/{path.name})",
            "",
            "| case | | severity | clauses |",
            "|---|---|---|---|",
        ]
        for template, members in groupby(group, key=lambda c: c.template):
            first, *others = list(members)
            name = f"`{template}`"
            if others:
                name += ": " + ", ".join(f"`{c.id.removeprefix(template)}`" for c in [first, *others])
            lines.append(f"| {name} | {_cell(first.title)} | {first.severity} | {', '.join(first.clause)} |")
    return "\n".join(lines) + "\n"


def _behaviour(cases: Sequence[Case]) -> str:
    path = repository() / "clients" / "README.md"
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise UsageProblem(f"{path}: the marks {_BEGIN!r} and {_END!r} are needed, once each")
    languages = [(language.name, unit_proofs(language).tests) for language in LANGUAGES]
    by_case = case_proofs(cases)
    lines = [
        "| id | rule | basis | cases | " + " | ".join(name for name, _ in languages) + " |",
        "|---|---|---|---|" + "---|" * len(languages),
    ]
    for name, rule in rules().items():
        cells = [name, _cell(rule["rule"]), rule["basis"], ", ".join(f"`{p}`" for p in by_case.get(name, []))]
        cells += [_tests(tests.get(name, [])) for _, tests in languages]
        lines.append("| " + " | ".join(cells) + " |")
    return f"{before}{begin}\n" + "\n".join(lines) + f"\n{end}{after}"


def _tests(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:_SHOWN_TESTS])
    return shown + (f" +{len(names) - _SHOWN_TESTS}" if len(names) > _SHOWN_TESTS else "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
