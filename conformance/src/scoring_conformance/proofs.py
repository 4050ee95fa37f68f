"""Which unit tests prove which rule: read from the comment `Proves B24, B25.` above a test."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from scoring_conformance.cases.model import Case
from scoring_conformance.paths import repository

_COMMENT = re.compile(r"^\s*(?:#|//+)\s*Proves\s+(B\d\d\b[^.]*)\.")
_RULE = re.compile(r"\bB\d\d\b")
_METHOD = re.compile(
    r"^\s*(?:(?:public|internal|private|static|final|async)\s+)*(?:void|[A-Z]\w*(?:<.*>)?)\s+(\w+)\s*\("
)


@dataclass(frozen=True, slots=True)
class Language:
    """Where a language's tests lie, and how they are called."""

    name: str
    files: tuple[str, ...]
    test: re.Pattern[str]


LANGUAGES = (
    Language("C#", ("clients/csharp/tests/**/*.cs",), _METHOD),
    Language("Go", ("clients/go/**/*_test.go",), re.compile(r"^func (Test\w+|Example\w*)\(")),
    Language("Java", ("clients/java/src/test/**/*.java",), _METHOD),
    Language("Python", ("clients/python/tests/**/*.py",), re.compile(r"^\s*(?:async )?def (test_\w+)\(")),
)


@dataclass(slots=True)
class Proofs:
    """The tests of one language by rule, and the comments that no test follows."""

    tests: dict[str, list[str]] = field(default_factory=dict)
    stray: list[str] = field(default_factory=list)


def unit_proofs(language: Language, root: Path | None = None) -> Proofs:
    """What a language's tests say that they prove, in the order of files and lines."""
    root = root or repository()
    found = Proofs()
    paths = {path for pattern in language.files for path in root.glob(pattern)}
    for path in sorted(p for p in paths if not {"bin", "obj", "target"} & set(p.relative_to(root).parts)):
        lines = path.read_text(encoding="utf-8").splitlines()
        for index, line in enumerate(lines):
            comment = _COMMENT.match(line)
            if comment is None:
                continue
            below = takewhile(str.strip, lines[index + 1 :])  # up to an empty line: a table of values can stand between
            names = (language.test.match(line) for line in below)
            name = next((match[1] for match in names if match is not None), None)
            if name is None:
                found.stray.append(f"{path.relative_to(root)}:{index + 1}")
                continue
            for rule in _RULE.findall(comment[1]):
                tests = found.tests.setdefault(rule, [])
                if name not in tests:
                    tests.append(name)
    return found


def case_proofs(cases: Sequence[Case]) -> dict[str, list[str]]:
    """The templates of cases by the rule that they cite, an option counting for its rule."""
    found: dict[str, set[str]] = {}
    for case in cases:
        for clause in case.clause:
            found.setdefault(clause.partition("/")[0], set()).add(case.template)
    return {rule: sorted(templates) for rule, templates in found.items()}


def unproven(rules: Sequence[str], cases: Sequence[Case], root: Path | None = None) -> list[str]:
    """Every rule that, in some language, neither a case nor a test proves; and comments that name no test or rule."""
    by_case = case_proofs(cases)
    problems = []
    for language in LANGUAGES:
        proofs = unit_proofs(language, root)
        problems += [f"{place}: no test follows `Proves` before an empty line" for place in proofs.stray]
        problems += [
            f"{language.name}: {tests[0]} proves {rule}, which is no rule"
            for rule, tests in sorted(proofs.tests.items())
            if rule not in rules
        ]
        problems += [
            f"{rule} is proven by no case and, in {language.name}, by no test"
            for rule in rules
            if rule not in by_case and rule not in proofs.tests
        ]
    return problems
