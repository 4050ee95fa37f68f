"""The request as a raw script sees it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from urllib.parse import parse_qsl


@dataclass
class RawRequest:
    """What @rawhttp hands to run(): method, path, query, and the bytes of the body, untouched."""

    method: str
    path: str
    query: str
    content_type: str
    body: bytes

    @cached_property
    def args(self) -> dict[str, str]:
        """The query's values by name; of repeated names the first."""
        return dict(reversed(parse_qsl(self.query, keep_blank_values=True, errors="replace")))

    @property
    def full_path(self) -> str:
        """Path and query; the question mark is there even when the query is empty."""
        return f"{self.path}?{self.query}"
