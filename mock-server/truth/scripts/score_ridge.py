"""The article's model: a ridge regression on the public diabetes data, ten doubles a row behind a numpy parameter.

The additions are made in an explicit loop, in order, as the mock makes them: a vectorised product adds in another
order and differs in the last digit.
"""

import numpy as np
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.schema_decorators import input_schema, output_schema

COEFFICIENTS = [
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
]
INTERCEPT = 152.11788558574


def init():
    """Nothing to load."""


@input_schema("data", NumpyParameterType(np.array([[10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]])))
@output_schema(NumpyParameterType(np.array([3726.995])))
def run(data):
    """Return sum(x_i * coefficient_i) + intercept of each row."""
    scores = []
    for row in data.tolist():
        score = 0.0
        for cell, coefficient in zip(row, COEFFICIENTS, strict=True):
            score += cell * coefficient
        scores.append(score + INTERCEPT)
    return scores
