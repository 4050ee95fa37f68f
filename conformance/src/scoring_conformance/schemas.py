"""The JSON Schemas in ``conformance/schemas``, compiled once."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from scoring_conformance.paths import repository


@cache
def validator(name: str) -> Draft202012Validator:
    """The validator for ``schemas/<name>.json``; raises OSError when there is no such schema."""
    return Draft202012Validator(_read(name), registry=_registry())  # that it is a schema, a test makes sure


@cache
def _registry() -> Registry[Any]:
    """What other schemas refer to, by file name."""
    resource = Resource.from_contents(_read("error"), default_specification=DRAFT202012)
    registry: Registry[Any] = Registry().with_resource("error.json", resource)
    return registry


def _read(name: str) -> Any:
    return json.loads((repository() / "conformance" / "schemas" / f"{name}.json").read_text(encoding="utf-8"))


def first_error(name: str, instance: Any) -> ValidationError | None:
    """The most telling violation of a schema, or None."""
    check = validator(name)
    if check.is_valid(instance):
        return None
    found = best_match(check.iter_errors(instance))
    assert isinstance(found, ValidationError)
    return found


def exists(name: str) -> bool:
    """Whether there is such a schema."""
    return (repository() / "conformance" / "schemas" / f"{name}.json").is_file()


def explain(error: ValidationError) -> str:
    """The violation in one short sentence with its place."""
    place = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.absolute_path).lstrip(".")
    message = error.message if len(error.message) <= 200 else error.message[:200] + "…"
    return f"{place}: {message}" if place else message
