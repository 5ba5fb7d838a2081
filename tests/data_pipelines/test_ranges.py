"""What is in range, and how it is said."""

import math

import pytest

from data_pipelines.errors import UserError
from data_pipelines.ranges import COUNT, NOT_NEGATIVE, POSITIVE, SHARE, OneOf, Range, check_each, check_range


@pytest.mark.parametrize(
    "allowed, inside, outside",
    [
        (COUNT, [1, 10**30], [0, -1, 1.0, True, "1", None, math.nan]),
        (Range(0, 5, whole=True), [0, 5], [-1, 6, 2.5]),
        (POSITIVE, [1e-300, 1, 1e30], [0.0, -0.1, math.nan, math.inf, True, "1", None]),
        (NOT_NEGATIVE, [0, 0.0], [-1e-9, math.nan, math.inf]),
        (SHARE, [0.1, 0.999], [0.0, 1.0, 1, math.nan]),
        (Range(0.0, optional=True), [None, 2.0], [-1.0]),
        (OneOf(("a", "b")), ["a", "b"], ["c", "", None, 1]),
    ],
)
def test_what_is_in_range(allowed, inside, outside):
    for value in inside:
        check_range("key", value, allowed)
    for value in outside:
        with pytest.raises(UserError):
            check_range("key", value, allowed)


@pytest.mark.parametrize(
    "allowed, text",
    [
        (COUNT, "a whole number of at least 1"),
        (Range(0, 2**32 - 1, whole=True), "a whole number from 0 to 4294967295"),
        (POSITIVE, "a finite number above 0"),
        (SHARE, "a finite number above 0 and below 1"),
        (Range(0.0, 1.0, below=True), "a finite number of at least 0 and below 1"),
        (Range(0.0, optional=True), "a finite number of at least 0 or None"),
        (Range(), "a finite number"),
        (OneOf(("a", "b")), "one of 'a', 'b'"),
    ],
)
def test_how_it_is_said(allowed, text):
    with pytest.raises(UserError) as caught:
        check_range("config.key", "odd", allowed)
    assert str(caught.value) == f"config.key should be {text}; got 'odd'"


def test_one_of_several_is_named_by_its_place():
    check_each("key", (1.0, 2.0), POSITIVE)
    with pytest.raises(UserError, match=r"^key\[1\] should be a finite number above 0; got -2.0$"):
        check_each("key", [1.0, -2.0], POSITIVE)
    with pytest.raises(UserError, match="key should be a sequence of numbers; got 3.0"):
        check_each("key", 3.0, POSITIVE)
