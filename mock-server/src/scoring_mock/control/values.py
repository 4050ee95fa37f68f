"""Values that both APIs show of a service."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime

from scoring_mock.service.service import Service


def iso_time(seconds: float) -> str:
    """Return a time in seconds since the epoch as ISO 8601 with an offset."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def image_id(service: Service) -> str:
    """Return the id of the image that a service runs: its name and version 1."""
    return f"{service.details.image_name or service.name}:1"


def image_digest(service: Service) -> str:
    """Return the digest of that image. It is made from the id: there is no image."""
    return "sha256:" + hashlib.sha256(image_id(service).encode()).hexdigest()


def model_id(service: Service) -> str:
    """Return the id of the registered model: its name and version."""
    return f"{service.details.model_name}:{service.details.model_version}"


def has_all(pairs: Mapping[str, str], wanted: str) -> bool:
    """Return whether every `key` and `key=value` of a list with commas is among the pairs."""
    for item in wanted.split(","):
        key, equals, value = item.partition("=")
        if key not in pairs or (equals and pairs[key] != value):
            return False
    return True
