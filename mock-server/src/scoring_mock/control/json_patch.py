"""JSON Patch (RFC 6902) on a document of objects, as far as v1 updates use it: add, replace, remove."""

from __future__ import annotations

import copy
from typing import Any


class PatchError(ValueError):
    """A patch that cannot be applied; the message is one sentence."""


def apply_patch(document: dict[str, Any], patch: Any) -> dict[str, Any]:
    """Return a patched copy of `document`. Raises PatchError, and then nothing was changed."""
    if not isinstance(patch, list):
        raise PatchError("A JSON Patch is a list of operations.")
    patched = copy.deepcopy(document)
    for index, operation in enumerate(patch):
        if not isinstance(operation, dict):
            raise PatchError(f"Operation {index} must be an object.")
        _apply(patched, operation, index)
    return patched


def _apply(document: dict[str, Any], operation: dict[str, Any], index: int) -> None:
    verb, path = operation.get("op"), operation.get("path")
    if verb not in ("add", "replace", "remove"):
        raise PatchError(f"Operation {index}: op must be add, replace or remove.")
    if not isinstance(path, str) or not path.startswith("/"):
        raise PatchError(f"Operation {index}: path must start with a slash.")
    if verb != "remove" and "value" not in operation:
        raise PatchError(f"Operation {index}: value is missing.")
    *parents, last = (part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/"))
    target: Any = document
    for part in parents:
        target = target.get(part) if isinstance(target, dict) else None
    if not isinstance(target, dict) or (verb != "add" and last not in target):
        raise PatchError(f"Operation {index}: there is nothing at {path}.")
    if verb == "remove":
        del target[last]
    else:
        target[last] = operation["value"]
