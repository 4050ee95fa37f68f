"""The Host header, judged as the genuine server's router judges it (Werkzeug 3.1)."""

from __future__ import annotations

import re

_HOST = re.compile(r"([a-z0-9.-]+|\[[a-f0-9]*:[a-f0-9.:]+])(?::([1-9][0-9]{,4}))?", re.ASCII | re.IGNORECASE)


def is_host(host: str) -> bool:
    """Return whether the router takes a Host: it refuses labels that no domain name has, empty or too long ones.

    A Host with characters that no host has is taken, and counts as none.
    """
    if len(host) < 64 and ".." not in host and not host.startswith("."):
        return True
    known = known_host(host)
    name = known.partition(":")[0].removesuffix(".")
    return not known or all(0 < len(label) < 64 for label in name.split("."))


def known_host(host: str) -> str:
    """Return host and port as they stand in an absolute URL of a reply, empty for what is none."""
    host = host.removesuffix(":80").lower()
    match = _HOST.fullmatch(host)
    if match is None or int(match[2] or 1) > 65535:
        return ""
    return host
