"""The kinds of scoring script, by name."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from scoring_mock.scripts.script import Script

# Module and class of each kind; imported when first asked for, because a start should not pay for all of them.
SCRIPTS = {
    "model": ("model", "ModelScript"),
    "undecorated": ("plain", "UndecoratedScript"),
    "dumps": ("plain", "DumpsScript"),
    "digits": ("digits", "DigitsScript"),
    "mlflow": ("mlflow", "MlflowScript"),
    "plain": ("plain", "PlainScript"),
    "schema": ("schema", "SchemaScript"),
    "schema-frame": ("schema", "FrameScript"),
    "raw": ("raw", "RawScript"),
    "raw-form": ("raw", "RawFormScript"),
}


def make_script(kind: str) -> Script:
    """Return a script of that kind. Raises KeyError for an unknown one."""
    module, name = SCRIPTS[kind]
    return cast(Script, getattr(import_module(f"scoring_mock.scripts.{module}"), name)())
