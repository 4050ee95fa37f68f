"""YAML that remembers lines, so that a mistake in a case file is reported where it was made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from scoring_conformance.problems import UsageProblem

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    """YAML 1.1 reads `off`, `no` and `on` as booleans; here, as in YAML 1.2, only `true` and `false` are."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (the base class declares it so)
        first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:bool" or first in "tfTF"]
        for first, pairs in _Base.yaml_implicit_resolvers.items()
    }


class MarkedDocument:
    """A YAML document and the line of each of its nodes."""

    def __init__(self, path: Path) -> None:
        """Read one file.

        Raises:
            UsageProblem: it cannot be read, is not YAML, or a key stands twice.
        """
        self.path = path
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageProblem(f"{path}: cannot be read: {error}") from error
        try:
            loader = _Loader(text)
            try:
                self._root = loader.get_single_node()
                self._refuse_duplicates(self._root)
                self.data: Any = loader.construct_document(self._root) if self._root is not None else None
            finally:
                loader.dispose()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 1
            raise UsageProblem(f"{path}:{line}: not YAML: {error.problem or error.context}") from error

    def line(self, place: Sequence[str | int]) -> int:
        """The line of the node at this place, or of its nearest ancestor that exists."""
        node = self._root
        for step in place:
            found = None
            if isinstance(node, yaml.MappingNode):
                found = next((v for k, v in node.value if k.value == step), None)
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                found = node.value[step]
            if found is None:
                break
            node = found
        return int(node.start_mark.line) + 1 if node is not None else 1

    def _refuse_duplicates(self, node: Any) -> None:
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key, value in node.value:
                if key.value in seen:
                    raise UsageProblem(f"{self.path}:{key.start_mark.line + 1}: the key {key.value!r} stands twice")
                seen.add(key.value)
                self._refuse_duplicates(value)
        elif isinstance(node, yaml.SequenceNode):
            for value in node.value:
                self._refuse_duplicates(value)
