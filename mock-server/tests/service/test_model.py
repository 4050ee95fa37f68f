"""The article's model: its three printed numbers, and what it makes of input that is not ten numbers a row."""

from __future__ import annotations

import math

import pytest
from scoring_mock.scripts.model import SAMPLE_ROW, ModelScript

ARTICLE_ROWS = [
    [
        0.0199132141783263,
        0.0506801187398187,
        0.104808689473925,
        0.0700725447072635,
        -0.0359677812752396,
        -0.0266789028311707,
        -0.0249926566315915,
        -0.00259226199818282,
        0.00371173823343597,
        0.0403433716478807,
    ],
    [
        -0.0127796318808497,
        -0.044641636506989,
        0.0606183944448076,
        0.0528581912385822,
        0.0479653430750293,
        0.0293746718291555,
        -0.0176293810234174,
        0.0343088588777263,
        0.0702112981933102,
        0.00720651632920303,
    ],
]


def score(data: object) -> list[float]:
    return ModelScript().run({"data": data})


def test_the_articles_two_rows_give_the_articles_two_numbers() -> None:
    assert score(ARTICLE_ROWS) == [217.67978776218715, 224.78937091757172]


def test_the_articles_sample_row_gives_the_number_behind_its_rounded_one() -> None:
    assert score([list(range(10, 0, -1))]) == [3726.9954859385753]
    assert score([list(SAMPLE_ROW)]) == [3726.9954859385753]


@pytest.mark.parametrize(
    "cell", ["1", " 1 ", "1_0", "1e0", True, "\u0661"], ids=["digit", "blanks", "underscore", "e", "true", "arabic"]
)
def test_what_numpy_takes_for_a_number_is_one(cell: object) -> None:
    expected = float(cell)  # type: ignore[arg-type]
    assert score([[cell] + [0] * 9]) == score([[expected] + [0.0] * 9])


def test_none_is_not_a_number_and_infinity_goes_through() -> None:
    assert math.isnan(score([[None] + [0] * 9])[0])
    assert score([[math.inf] + [0] * 9]) == [math.inf]


def test_whole_numbers_beyond_2_to_53_lose_precision() -> None:
    assert score([[9007199254740993] + [0] * 9]) == score([[9007199254740992] + [0] * 9])


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (None, "Invalid input format: expected an array of items."),
        ({}, "Invalid input format: expected an array of items."),
        ("[[1]]", "Invalid input format: expected an array of items."),
        ([], "an array with 2 dimensions is expected; input has 1 [shape (0,)]"),
        ([[]], "array has size 0 on dimension #1, while expected value is 10"),
        ([1.0] * 10, "an array with 2 dimensions is expected; input has 1 [shape (10,)]"),
        ([[1.0] * 9], "array has size 9 on dimension #1, while expected value is 10"),
        ([[[1.0] * 10]], "an array with 2 dimensions is expected; input has 3 [shape (1, 1, 10)]"),
        ([[1.0] * 10, [1.0]], "inhomogeneous shape after 1 dimensions. The detected shape was (2,)"),
        ([[1.0] * 9 + [[1.0]]], "inhomogeneous shape after 2 dimensions. The detected shape was (1, 10)"),
        ([["a"] + [1.0] * 9], "could not convert string to float: 'a'"),
        ([[{}] + [1.0] * 9], "float() argument must be a string or a real number, not 'dict'"),
        ([[10**400] + [1.0] * 9], "int too large to convert to float"),
        (["1234567890"], "an array with 2 dimensions is expected; input has 1 [shape (1,)]"),
    ],
)
def test_everything_else_is_an_error_in_the_genuine_words(data: object, text: str) -> None:
    with pytest.raises((ValueError, TypeError, OverflowError)) as caught:
        score(data)
    assert text in str(caught.value)
