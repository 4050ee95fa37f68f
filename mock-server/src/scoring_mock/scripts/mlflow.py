"""The script of an MLflow deployment without code: the article's model behind the member `input_data` (W43)."""

from __future__ import annotations

import json
import math
from typing import Any

from scoring_mock.scripts.arrays import as_matrix
from scoring_mock.scripts.model import WIDTH, predict
from scoring_mock.scripts.script import InputKind, Parameter, Schema

FEATURES = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")


class MlflowScript:
    """Takes `{"input_data": ..., "params": ...}`, where `params` may be left out.

    `input_data` is a data frame in pandas' split form (`columns`, `index`, `data`), a nested list, or a named
    tensor: an object with a list for each feature. A second `input_data` inside the first and a JSON text are
    looked through, as the genuine script does.
    """

    kind = "mlflow"
    takes: InputKind = "schema"
    parameters = (Parameter("input_data"), Parameter("params", None))
    schema = Schema(
        service_input={
            "type": "object",
            "properties": {"input_data": {"type": "object"}, "params": {"type": "object"}},
            "example": {"input_data": {}, "params": {}},
        },
        service_output={"type": "object", "example": {}},
    )

    def run(self, value: dict[str, Any]) -> list[float]:
        """Return one score for each row."""
        data = value["input_data"]
        if isinstance(data, str):
            data = json.loads(data)
        if "input_data" in data:
            data = data["input_data"]
        if isinstance(data, list):
            rows = data
        elif {"columns", "index", "data"} <= data.keys():
            rows = _frame(data)
        else:
            rows = _named_tensor(data)
        matrix = as_matrix(rows, WIDTH)
        if not all(math.isfinite(cell) for row in matrix for cell in row):
            raise ValueError("Input X contains NaN or infinity.")
        return predict(matrix)


def _frame(frame: dict[str, Any]) -> list[Any]:
    """Return the rows of a data frame in split form; its columns may come in any order, or unnamed in the model's."""
    columns, index, data = frame["columns"], frame["index"], frame["data"]
    if len(index) != len(data):
        raise ValueError(f"Length of index is {len(index)}, of data {len(data)}")
    if set(columns) != set(FEATURES):
        if any(isinstance(name, str) for name in columns) or len(columns) != WIDTH:
            raise ValueError("Model is missing inputs or has unexpected ones")
        return list(data)
    places = [columns.index(name) for name in FEATURES]
    if any(len(row) != len(columns) for row in data):
        raise ValueError(f"{len(columns)} columns passed, passed data had another number of columns")
    return [[row[place] for place in places] for row in data]


def _named_tensor(tensor: dict[str, Any]) -> list[Any]:
    """Return the rows of an object with a list of numbers for each feature."""
    if set(tensor) != set(FEATURES):
        raise ValueError("Model is missing inputs or has unexpected ones")
    return [list(row) for row in zip(*(tensor[name] for name in FEATURES), strict=True)]
