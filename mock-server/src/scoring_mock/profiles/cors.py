"""Cross-origin headers of the container, as flask-cors adds them when origins were configured (W18)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_METHODS = "GET, POST"
_REGEX_HINTS = frozenset("*\\]?$^[]()")


class Cors:
    """The allowed origins of one service, and the headers that follow from them.

    Each origin is an exact string with its scheme, compared without case; one that looks like a regular
    expression is one, and `*` allows every origin. No Access-Control-Expose-Headers is ever sent: a page's
    script cannot read the request ids.
    """

    def __init__(self, origins: Sequence[str]) -> None:
        """Raise re.error when an origin looks like a regular expression and is none."""
        self._any = "*" in origins
        self._literals = sorted(o for o in origins if _REGEX_HINTS.isdisjoint(o))
        self._patterns = [
            re.compile(".*" if o == "*" else o, re.IGNORECASE) for o in origins if not _REGEX_HINTS.isdisjoint(o)
        ]
        self._folded = {o.casefold() for o in self._literals}
        self._varies = len(origins) > 1 or bool(self._patterns)

    def headers(self, method: str, headers: Mapping[str, str]) -> list[tuple[str, str]]:
        """Return the headers to add to the reply to a request with this method and these headers."""
        origin = headers.get("origin")
        if origin:
            if origin.casefold() not in self._folded and not any(p.match(origin) for p in self._patterns):
                return []
            allowed = origin
        elif self._any:
            allowed = "*"
        elif self._literals:
            # Without an Origin one of the allowed ones is sent all the same.
            allowed = self._literals[0]
        else:
            return []
        fields = [("Access-Control-Allow-Origin", allowed)]
        if headers.get("access-control-request-private-network") == "true":
            fields.append(("Access-Control-Allow-Private-Network", "false"))
        wished = headers.get("access-control-request-method", "").upper()
        # flask-cors holds the methods in one string and looks for the wish in it: a part of a name is found too.
        if method == "OPTIONS" and wished and wished in _METHODS:
            wanted = headers.get("access-control-request-headers")
            if wanted:
                names = sorted(name.strip() for name in wanted.split(","))
                fields.append(("Access-Control-Allow-Headers", ", ".join(names)))
            fields.append(("Access-Control-Allow-Methods", _METHODS))
        if allowed != "*" and self._varies:
            fields.append(("Vary", "Origin"))
        return fields
