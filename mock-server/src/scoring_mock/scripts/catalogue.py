"""The kinds of scoring script, by name."""

from __future__ import annotations

from collections.abc import Callable

from scoring_mock.scripts.model import ModelScript
from scoring_mock.scripts.script import Script

SCRIPTS: dict[str, Callable[[], Script]] = {"model": ModelScript}
