"""Knowledge points one way."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
import scoring_conformance
from scoring_conformance import schemas
from scoring_conformance.paths import repository

SOURCE = Path(scoring_conformance.__file__).parent
LOW = ["cases", "clients", "mock", "protocol.py", "doubles.py", "schemas.py", "paths.py", "problems.py"]
FORBIDDEN = {
    **{part: {"pytest", "rich", "scoring_conformance.engine", "scoring_conformance.command"} for part in LOW},
    "engine": {"pytest", "rich", "scoring_conformance.command", "scoring_conformance.pytest_plugin"},
    "command": {"pytest", "scoring_conformance.pytest_plugin"},
}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("part", FORBIDDEN)
def test_no_layer_imports_one_above_it(part):
    paths = [SOURCE / part] if part.endswith(".py") else list((SOURCE / part).rglob("*.py"))
    assert paths
    for path in paths:
        for name in imports(path):
            assert not any(name == bad or name.startswith(bad + ".") for bad in FORBIDDEN[part]), (path, name)


def test_the_cases_and_the_protocol_know_nothing_of_each_other():
    for path in (SOURCE / "cases").rglob("*.py"):
        assert not any("protocol" in name or "clients" in name for name in imports(path)), path
    assert not any(name.startswith("scoring_conformance.cases") for name in imports(SOURCE / "protocol.py"))


def test_the_mock_knows_nothing_of_the_suite():
    for path in (repository() / "mock-server" / "src").rglob("*.py"):
        assert not any(name.startswith("scoring_conformance") for name in imports(path)), path


def test_the_suite_imports_nothing_of_the_mock():
    for path in SOURCE.rglob("*.py"):
        assert not any(name.startswith("scoring_mock") for name in imports(path)), path


def test_every_schema_is_a_schema():
    names = [path.stem for path in (repository() / "conformance" / "schemas").glob("*.json")]
    assert len(names) >= 7
    for name in names:
        validator = schemas.validator(name)
        validator.check_schema(validator.schema)
        assert validator.schema["title"]


EXAMPLES = [
    *("hello-request", "hello-reply", "score-request", "score-reply", "open-request", "open-reply"),
    *("token-question", "token-answer", "retry-news"),
]


def test_the_examples_in_the_protocol_page_match_its_schemas():
    page = (repository() / "conformance" / "PROTOCOL.md").read_text(encoding="utf-8")
    decoder = json.JSONDecoder()
    examples = []
    for fence in re.findall(r"```json\n(.*?)```", page, re.S):
        rest = fence.strip()
        while rest:
            example, end = decoder.raw_decode(rest)
            examples.append(example)
            rest = rest[end:].strip()
    assert len(examples) == len(EXAMPLES)
    for schema, example in zip(EXAMPLES, examples, strict=True):
        assert schemas.first_error(schema, example) is None
