"""The kinds of scoring script, by name."""

from __future__ import annotations

from collections.abc import Callable

from scoring_mock.scripts.digits import DigitsScript
from scoring_mock.scripts.mlflow import MlflowScript
from scoring_mock.scripts.model import ModelScript
from scoring_mock.scripts.plain import DumpsScript, PlainScript, UndecoratedScript
from scoring_mock.scripts.raw import RawFormScript, RawScript
from scoring_mock.scripts.schema import FrameScript, SchemaScript
from scoring_mock.scripts.script import Script

SCRIPTS: dict[str, Callable[[], Script]] = {
    "model": ModelScript,
    "undecorated": UndecoratedScript,
    "dumps": DumpsScript,
    "digits": DigitsScript,
    "mlflow": MlflowScript,
    "plain": PlainScript,
    "schema": SchemaScript,
    "schema-frame": FrameScript,
    "raw": RawScript,
    "raw-form": RawFormScript,
}
