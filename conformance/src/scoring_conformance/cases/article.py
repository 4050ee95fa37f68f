"""The article's own example, and the model that it calls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

ROWS: tuple[tuple[float, ...], ...] = (
    (0.0199132141783263, 0.0506801187398187, 0.104808689473925, 0.0700725447072635, -0.0359677812752396,
     -0.0266789028311707, -0.0249926566315915, -0.00259226199818282, 0.00371173823343597, 0.0403433716478807),
    (-0.0127796318808497, -0.044641636506989, 0.0606183944448076, 0.0528581912385822, 0.0479653430750293,
     0.0293746718291555, -0.0176293810234174, 0.0343088588777263, 0.0702112981933102, 0.00720651632920303),
)  # fmt: skip
"""The two rows that every sample of the article sends."""

# The ridge regression (alpha 0.4) on the public diabetes data that reproduces the article's printed results to the
# last digit. Kept apart from the mock's copy on purpose: the judge must not learn the answer from the server.
_COEFFICIENTS = (3.6673762369694565, -137.03884377642626, 414.253195273696, 231.22218714779868, -27.594878912203317,
                 -81.33626225331001, -190.8012606255576, 125.48559142769668, 350.5596221019402,
                 96.85216850184771)  # fmt: skip
_INTERCEPT = 152.11788558574

FEATURES = len(_COEFFICIENTS)
"""Cells in a row."""


def predict(rows: Iterable[Sequence[float]]) -> list[float]:
    """The model's answer to these rows.

    Added in order: ``sum()`` is compensated since Python 3.12 and ends in other digits.
    """
    answers = []
    for row in rows:
        total = 0.0
        for cell, coefficient in zip(row, _COEFFICIENTS, strict=True):
            total += cell * coefficient
        answers.append(total + _INTERCEPT)
    return answers
