"""The truth check `sdk_v1`: the genuine azureml-core works against the v1 control plane."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from sdk import session

# More services than a page of the list holds, so that the SDK must follow `nextLink`.
MANY = 32
SPECS: list[dict[str, Any]] = [
    {"name": "aks-key", "tags": {"team": "a", "env": "test"}, "properties": {"hash": "1"}, "description": "with keys"},
    {"name": "aks-token", "auth": "token", "tags": {"team": "b"}, "model_name": "ridge", "model_version": 7},
    {"name": "aks-off", "auth": "off", "image_name": "own-image"},
    {"name": "aci-off", "profile": "aci-v1", "tags": {"team": "a"}},
    {"name": "aci-key", "profile": "aci-v1", "auth": "key"},
    *({"name": f"many-{number}"} for number in range(MANY)),
    {"name": "endpoint", "profile": "managed-v2"},  # of v2: must not show here
]

if __name__ == "__main__":
    sys.exit(session.run(Path(__file__).resolve().parent, "azureml-core", SPECS))
