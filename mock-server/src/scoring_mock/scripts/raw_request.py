"""The request as a raw script sees it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class RawRequest:
    """What @rawhttp hands to run(): method, path, query, and the bytes of the body, untouched.

    `args` has the query's values by name, of repeated names the first.
    """

    method: str
    path: str
    query: str
    args: dict[str, str]
    content_type: str
    body: bytes

    @property
    def full_path(self) -> str:
        """Path and query; the question mark is there even when the query is empty."""
        return f"{self.path}?{self.query}"
