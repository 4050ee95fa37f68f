"""The ``conformance`` command."""

from __future__ import annotations

from scoring_conformance.command.main import main

__all__ = ["main"]
