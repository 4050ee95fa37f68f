"""How numpy turns nested JSON lists into an array of doubles, without numpy (W05).

Mirrors `numpy.array(value, dtype=float64)` and the checks of inference-schema's numpy parameter around it, for values
that came from JSON: None becomes NaN, booleans 0 and 1, strings whatever `float()` makes of them, anything
else is an error. The texts of the errors are numpy's: services of the legacy generation show them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from scoring_mock.scripts.script import Schema


def matrix_schema(sample_row: Sequence[float], sample_result: float) -> Schema:
    """Return what the decorators say of a numpy parameter `data` of doubles in rows, and of a result of doubles."""
    number = {"type": "number", "format": "double"}
    return Schema(
        service_input={
            "type": "object",
            "properties": {
                "data": {
                    "type": "array",
                    "items": {"type": "array", "items": dict(number)},
                    "format": "numpy.ndarray",
                }
            },
            "example": {"data": [list(sample_row)]},
        },
        service_output={
            "type": "array",
            "items": dict(number),
            "example": [sample_result],
            "format": "numpy.ndarray",
        },
    )


def as_matrix(value: Any, width: int) -> list[list[float]]:
    """Return `value` as rows of `width` doubles.

    Raises ValueError, TypeError or OverflowError, with the words of the genuine libraries, when it is not a list
    of at least one row, all of that width, of cells that are numbers.
    """
    if type(value) is not list:
        raise ValueError("Invalid input format: expected an array of items.")
    shape = _shape(value)
    if len(shape) != 2:
        # The cells are converted before the shape is looked at.
        _convert_cells(value)
        raise ValueError(
            f"Invalid input array: an array with 2 dimensions is expected; input has {len(shape)} [shape {shape}]"
        )
    rows = [[_double(cell) for cell in row] for row in value]
    if shape[1] != width:
        raise ValueError(
            f"Invalid input array: array has size {shape[1]} on dimension #1, while expected value is {width}"
        )
    return rows


def _shape(value: list[Any]) -> tuple[int, ...]:
    """Return the shape of nested lists; ValueError when they are ragged."""
    shape: list[int] = []
    level: list[Any] = [value]
    while True:
        lists = sum(type(item) is list for item in level)
        if lists == 0:
            return tuple(shape)
        lengths = {len(item) for item in level if type(item) is list}
        if lists != len(level) or len(lengths) != 1:
            detected = f"({shape[0]},)" if len(shape) == 1 else f"({', '.join(map(str, shape))})"
            raise ValueError(
                "setting an array element with a sequence. The requested array has an inhomogeneous shape after "
                f"{len(shape)} dimensions. The detected shape was {detected} + inhomogeneous part."
            )
        shape.append(lengths.pop())
        if shape[-1] == 0:
            return tuple(shape)
        level = [cell for item in level for cell in item]


def _convert_cells(value: Any) -> None:
    if type(value) is list:
        for item in value:
            _convert_cells(item)
    else:
        _double(value)


def _double(cell: Any) -> float:
    if type(cell) is float:
        return cell
    if cell is None:
        return math.nan
    return float(cell)
