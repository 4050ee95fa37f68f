"""Decorated scripts beside the model: a numpy parameter, and a data frame with a plain one."""

from __future__ import annotations

import math
from typing import Any

from scoring_mock.scripts.arrays import as_matrix, matrix_schema
from scoring_mock.scripts.script import InputKind, Parameter, Schema

_NUMBER = {"type": "number", "format": "double"}
_SAMPLE = [0.1, 1.2, 2.3, 3.4, 4.5, 5.6, 6.7, 7.8, 8.9, 9.0]


def _pairwise_sum(row: list[float]) -> float:
    """Add ten doubles in the order in which numpy adds a row of ten."""
    a, b, c, d, e, f, g, h, *rest = row
    total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for cell in rest:
        total += cell
    return 0.0 + total


class SchemaScript:
    """Sums rows of ten doubles behind a numpy parameter."""

    kind = "schema"
    takes: InputKind = "schema"
    parameters = (Parameter("data"),)
    schema = matrix_schema(_SAMPLE, 4429.929236457418)

    def run(self, value: dict[str, Any]) -> list[float]:
        """Return the sum of each row of `data`."""
        return [_pairwise_sum(row) for row in as_matrix(value["data"], len(_SAMPLE))]


class FrameScript:
    """Doubles the ages in a data frame (`Inputs`, records of age and job), and echoes `GlobalParameters`."""

    kind = "schema-frame"
    takes: InputKind = "schema"
    parameters = (Parameter("Inputs"), Parameter("GlobalParameters"))
    schema = Schema(
        service_input={
            "type": "object",
            "properties": {
                "Inputs": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["age", "job"],
                        "properties": {
                            "age": {"type": "integer", "format": "int64"},
                            "job": {"type": "string"},
                        },
                    },
                    "format": "pandas.DataFrame:records",
                },
                "GlobalParameters": {
                    "type": "object",
                    "required": ["method"],
                    "properties": {"method": {"type": "string"}},
                },
            },
            "example": {"Inputs": [{"age": 40, "job": "x"}], "GlobalParameters": {"method": "predict"}},
        },
        service_output={
            "type": "object",
            "required": ["Results"],
            "properties": {"Results": {"type": "array", "items": dict(_NUMBER)}},
            "example": {"Results": [1.0]},
        },
    )

    def run(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return twice the age of each record, and the parameters as they came."""
        ages = _ages(value["Inputs"])
        if not isinstance(value["GlobalParameters"], dict):
            raise ValueError("Invalid input data type to parse. Expected: <class 'dict'>")  # noqa: TRY004
        return {"Results": [_int64(2 * age) for age in ages], "m": value["GlobalParameters"]}


def _ages(records: Any) -> list[int]:
    """Return the column `age` as pandas makes it 64-bit integers; the frame must have two columns."""
    columns = _columns(records)
    if len(columns) != 2:
        raise ValueError(
            f"Invalid input data frame: data frame has size {len(columns)} on dimension #1, while expected value is 2"
        )
    cells = columns["age"]
    if all(type(cell) is int for cell in cells):
        if all(-(2**63) <= cell < 2**64 for cell in cells):
            return [_int64(cell) for cell in cells]
        raise ValueError("Value is too big!")
    if all(isinstance(cell, int | float) and type(cell) is not bool for cell in cells):
        numbers = [float(cell) for cell in cells]
        if not all(map(math.isfinite, numbers)):
            raise ValueError("Cannot convert non-finite values (NA or inf) to integer")
        return [int(x) if -(2.0**63) <= x < 2.0**63 else -(2**63) for x in numbers]
    return [_int64(int(cell)) for cell in cells]


def _columns(records: Any) -> dict[str, list[Any]]:
    """Return the columns of a frame given as records, or as columns; a missing cell is NaN."""
    if isinstance(records, list):
        if not all(isinstance(record, dict) for record in records):
            raise ValueError("Invalid input data frame: not a list of records")
        names = dict.fromkeys(name for record in records for name in record)
        return {name: [_cell(record.get(name, math.nan)) for record in records] for name in names}
    if not isinstance(records, dict):
        raise ValueError(  # noqa: TRY004
            f"Error, unable to convert input of type {type(records)} into Pandas Dataframe"
        )
    series = {name: list(v.values()) if isinstance(v, dict) else v for name, v in records.items()}
    lengths = {len(v) for v in series.values() if isinstance(v, list)}
    if len(lengths) != 1:
        raise ValueError("All arrays must be of the same length")
    (length,) = lengths
    return {name: [_cell(cell) for cell in (v if isinstance(v, list) else [v] * length)] for name, v in series.items()}


def _cell(cell: Any) -> Any:
    return math.nan if cell is None else cell


def _int64(value: int) -> int:
    """Wrap around as 64-bit integers do."""
    return (value + 2**63) % 2**64 - 2**63
