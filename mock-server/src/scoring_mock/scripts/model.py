"""The model of the article: a ridge regression (alpha 0.4) on the public diabetes data, ten features a row."""

from __future__ import annotations

from typing import Any

from scoring_mock.scripts.arrays import as_matrix, matrix_schema
from scoring_mock.scripts.script import InputKind, Parameter

COEFFICIENTS = (
    3.6673762369694565,
    -137.03884377642626,
    414.253195273696,
    231.22218714779868,
    -27.594878912203317,
    -81.33626225331001,
    -190.8012606255576,
    125.48559142769668,
    350.5596221019402,
    96.85216850184771,
)
INTERCEPT = 152.11788558574
WIDTH = len(COEFFICIENTS)
SAMPLE_ROW = (10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0)
SAMPLE_SCORE = 3726.995

_C0, _C1, _C2, _C3, _C4, _C5, _C6, _C7, _C8, _C9 = COEFFICIENTS


def predict(rows: list[Any]) -> list[float]:
    """Score rows of ten numbers each: sum(x_i * coefficient_i) + intercept, added from left to right.

    The order of the additions is fixed, so that the last digit is the same everywhere; `sum()` is compensated since
    Python 3.12 and would change it. Raises TypeError or ValueError for rows that are not ten numbers.
    """
    scores = []
    for x0, x1, x2, x3, x4, x5, x6, x7, x8, x9 in rows:
        score = x0 * _C0 + x1 * _C1 + x2 * _C2 + x3 * _C3 + x4 * _C4
        score = score + x5 * _C5 + x6 * _C6 + x7 * _C7 + x8 * _C8 + x9 * _C9
        scores.append(score + INTERCEPT)
    return scores


class ModelScript:
    """The model behind @input_schema('data', numpy array of shape (n, 10)) and an @output_schema of doubles."""

    kind = "model"
    takes: InputKind = "schema"
    parameters = (Parameter("data"),)
    schema = matrix_schema(SAMPLE_ROW, SAMPLE_SCORE)

    def run(self, value: dict[str, Any]) -> list[float]:
        """Score `value["data"]`."""
        data = value["data"]
        if type(data) is list and data:
            try:
                return predict(data)
            except (TypeError, ValueError, OverflowError):
                pass  # not plainly ten numbers a row: see what numpy would make of it
        return predict(as_matrix(data, WIDTH))
