"""The environment of a client's process: what it needs to run, and nothing of the machine's network settings."""

from __future__ import annotations

import os
from collections.abc import Mapping

# Proxies, certificates and netrc of the machine would change what is measured.
_KEPT = ("PATH", "HOME", "TMPDIR", "LANG", "USER", "LOGNAME", "SYSTEMROOT", "TZ")
_KEPT_PREFIXES = ("JAVA_HOME", "DOTNET_", "GOROOT", "PYENV_", "LC_")


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables that a client's process gets."""
    kept = {k: v for k, v in os.environ.items() if k in _KEPT or k.startswith(_KEPT_PREFIXES)}
    kept.update(
        NO_PROXY="127.0.0.1,localhost",
        no_proxy="127.0.0.1,localhost",
        DOTNET_CLI_TELEMETRY_OPTOUT="1",
        DOTNET_NOLOGO="1",
    )
    kept.update(extra or {})
    return kept
