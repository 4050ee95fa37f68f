"""The truth check `sdk_v2`: the genuine azure-ai-ml works against the v2 control plane."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from sdk import session

# More endpoints than a page of the list holds, so that the SDK must follow `nextLink`.
MANY = 30
SPECS: list[dict[str, Any]] = [
    {
        "name": "managed-key",
        "profile": "managed-v2",
        "tags": {"team": "a"},
        "properties": {"hash": "1"},
        "deployments": {"blue": 90, "green": 10, "idle": 0},
    },
    {"name": "managed-token", "profile": "managed-v2", "auth": "token"},
    {"name": "kubernetes-key", "profile": "k8s-v2"},
    *({"name": f"many-{number}", "profile": "k8s-v2"} for number in range(MANY)),
    {"name": "webservice", "profile": "aks-v1"},  # of v1: must not show here
]

if __name__ == "__main__":
    sys.exit(session.run(Path(__file__).resolve().parent, "azure-ai-ml", SPECS))
