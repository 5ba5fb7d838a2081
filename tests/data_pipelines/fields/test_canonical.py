"""One text per category: values by hand, and a comparison with Python's own reading of numbers."""

import random
import re

import polars as pl
import pytest

from data_pipelines.fields.canonical import NOT_CANONICAL, canonical, canonical_lists, float_texts


@pytest.mark.parametrize(
    "text, expected",
    [
        ("100.0", "100"),
        ("100.00", "100"),
        ("-7.0", "-7"),
        ("0.0", "0"),
        ("-0.0", "0"),
        ("9007199254740993.0", "9007199254740993"),  # 2^53 + 1, which no float holds
        ("9" * 40 + ".0", "9" * 40),
        ("1e+16", "10000000000000000"),  # Python, pandas, Polars
        ("1.0E16", "10000000000000000"),  # Spark
        ("1.2345678E7", "12345678"),
        ("1.2345678901234568e18", "1234567890123456768"),
        ("-1e+16", "-10000000000000000"),
        ("nan", ""),
        ("NaN", ""),
        ("-nan", ""),
        ("True", "true"),
        ("FALSE", "false"),
    ],
)
def test_another_text_of_a_value(text, expected):
    assert canonical(pl.Series([text, "x"])).to_list() == [expected, "x"]
    assert canonical(pl.Series([expected])).to_list() == [expected]


@pytest.mark.parametrize(
    "text",
    [
        *("", "100", "-1", "-0", "007", "007.0", "1.5", "1.0.0", "100.", ".0", "+1.0", " 1.0", "1.0 ", "1.0\n"),
        *("1e16", "12e45678", "68e1", "1E5", "1.5e0.0", "1.25e+1", "1e+19", "1.0E99", "1e-7", "inf", "-inf"),
        *("Nan", "NAN", "nan ", "n/a", "true", "tRue", "v1.0", "1,0", "１.0"),
    ],
)
def test_text_that_is_itself(text):
    assert canonical(pl.Series([text])).to_list() == [text]


def test_the_same_series_where_nothing_changes():
    text = pl.Series(["68fd1e64", "", "5e1"])
    assert canonical(text) is text


def test_against_python_on_random_numbers():
    draw = random.Random(5)
    floats = [draw.choice([-1, 1]) * draw.randrange(10 ** draw.randrange(1, 22)) * 1.0 for _ in range(3000)]
    texts = [draw.choice([repr, "{:.1f}".format, "{:.17g}".format])(v) for v in floats]
    for text, found in zip(texts, canonical(pl.Series(texts)).to_list(), strict=True):
        if re.match(NOT_CANONICAL, text) and "." in text and "e" not in text:
            expected = str(int(text[: text.index(".")]))
        elif "e+" in text and abs(float(text)) < 2**63:
            expected = str(int(float(text)))
        else:
            expected = text
        assert found == expected, text


def test_texts_of_floats():
    v = pl.Series([1.0, -0.0, 1.5, None, float("nan"), 2.0**53, 2.0**63, float("inf"), 1e-7])
    assert float_texts(v).to_list() == [
        *("1", "0", "1.5", None, None, "9007199254740992", "9.223372036854776e+18", "inf", "1e-7"),
    ]
    assert float_texts(pl.Series([0.1, 3.0], dtype=pl.Float32)).to_list() == ["0.1", "3"]


def test_lists():
    lists = pl.Series([["1.0", "a"], [], ["nan", "2"], ["b"]], dtype=pl.List(pl.String))
    assert canonical_lists(lists).to_list() == [["1", "a"], [], ["", "2"], ["b"]]
    same = pl.Series([["1", "a"], []], dtype=pl.List(pl.String))
    assert canonical_lists(same) is same
