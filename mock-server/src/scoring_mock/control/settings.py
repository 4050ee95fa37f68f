"""What a service was given at the control plane beside what it does: kept as long as the service is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from scoring_mock.service.service import Service


class Settings:
    """A JSON object for each service, made from defaults on first use."""

    def __init__(self, defaults: Callable[[Service], dict[str, Any]]) -> None:
        self._defaults = defaults
        self._of: WeakKeyDictionary[Service, dict[str, Any]] = WeakKeyDictionary()

    def of(self, service: Service) -> dict[str, Any]:
        """Return the settings of a service, to read and to change."""
        settings = self._of.get(service)
        if settings is None:
            settings = self._of[service] = self._defaults(service)
        return settings


def fill_in(settings: dict[str, Any], wish: dict[str, Any]) -> None:
    """Take over the members of a wish that `settings` knows and that are not null, objects member by member.

    A member that should be an object and is not is left as it was.
    """
    for name, value in wish.items():
        if name not in settings or value is None:
            continue
        if isinstance(settings[name], dict):
            if isinstance(value, dict):
                fill_in(settings[name], value)
        else:
            settings[name] = value
