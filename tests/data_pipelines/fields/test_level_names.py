"""What pages call levels, against the rules that put values into them."""

import re

import numpy as np
import polars as pl
import pytest

from data_pipelines.fields.declarations import RawFormat
from data_pipelines.fields.level_names import WEEKDAYS, level_name, positive_name
from data_pipelines.fields.numeric import bin_boundaries
from data_pipelines.fields.readings import Reading
from data_pipelines.fields.rules import to_levels
from data_pipelines.fields.schema import Field

INTEGERS = [*range(-40, 2500), 10**6, 10**9, -(10**9), 2**63 - 1, -(2**63)]


def of(transform: str, **given) -> Field:
    return Field("x", transform, size=9, offset=0, **given)


def holds(name: str, value: float) -> bool:
    """Whether a bin of this name holds a value, as a reader understands it."""
    if name.startswith("±("):
        return holds(name[2:-1], abs(value))
    for pattern, test in (
        (r"below (\S+)", lambda a: value < a),
        (r"up to (\S+)", lambda a: value <= a),
        (r"above (\S+) to <(\S+)", lambda a, b: a < value < b),
        (r"above (\S+) to (\S+)", lambda a, b: a < value <= b),
        (r"above (\S+)", lambda a: value > a),
        (r"(\S+) and more", lambda a: value >= a),
        (r"(\S+) and less", lambda a: value <= a),
        (r"(\S+) to <(\S+)", lambda a, b: a <= value < b),
        (r"(\S+) to (\S+)", lambda a, b: a <= value <= b),
        (r"(\S+)", lambda a: value == a),
    ):
        if found := re.fullmatch(pattern, name):
            return test(*(int(one) if re.fullmatch(r"-?\d+", one) else float(one) for one in found.groups()))
    raise AssertionError(name)


@pytest.mark.parametrize("transform", ["log_square", "log_of_square", "log1p_of_square"])
def test_each_integer_is_within_the_bounds_of_its_bin_and_of_no_other(transform):
    levels = to_levels(pl.Series([str(v) for v in INTEGERS]), transform).to_list()
    names = {level: level_name(of(transform), level) for level in set(levels)}
    assert len(set(names.values())) == len(names)
    wrong = [(v, names[level]) for v, level in zip(INTEGERS, levels, strict=True) if not holds(names[level], v)]
    assert wrong == []
    some = INTEGERS[::97]
    assert all(sum(holds(name, v) for name in names.values()) == 1 for v in some)


def test_logarithmic_bins_by_hand():
    assert [level_name(of("log_square"), one) for one in ("=2", "=-1", "log:1", "log:2")] == ["2", "-1", "3 to 4", "5"]
    assert [level_name(of("log_of_square"), one) for one in ("=0", "log:0", "log:2", "-log:2")] == [
        "0", "1", "3 to 4", "-4 to -3",
    ]  # fmt: skip
    assert [level_name(of("log1p_of_square"), one) for one in ("log:0", "log:2")] == ["-1 to 1", "±(3 to 4)"]


def test_bins_of_equal_frequency_have_the_bounds_of_the_schema():
    field = of("equal_frequency", parameters=(1975.0, 1982.5, 1999.0))
    values = [0, 1974.9, 1975, 1982, 1982.5, 1998.999, 1999, 3000]
    levels = to_levels(pl.Series([str(v) for v in values]), "equal_frequency", field.parameters).to_list()
    names = [level_name(field, level) for level in levels]
    assert all(holds(name, v) for name, v in zip(names, values, strict=True))
    assert list(dict.fromkeys(names)) == ["below 1975", "1975 to <1982.5", "1982.5 to <1999", "1999 and more"]
    assert level_name(of("equal_frequency"), "bin:0") == "all numbers"


def test_a_number_with_a_bin_of_its_own_is_named_alone():
    """Preparation ends such a bin at the next float, which nobody wants to read."""
    known = np.array([0.0] * 40 + [25.0] * 40 + [18.0, 19.5, 30.0, 31.0, 40.0] * 4)
    field = of("equal_frequency", parameters=bin_boundaries(known, 5))
    levels = to_levels(pl.Series([str(v) for v in known]), "equal_frequency", field.parameters).to_list()
    names = {level: level_name(field, level) for level in levels}
    assert all(holds(names[level], v) for level, v in zip(levels, known, strict=True))
    assert {"25", "up to 0"} <= set(names.values()) and len(set(names.values())) == len(names) == 5
    assert max(map(len, names.values())) <= len("above 25 to <31")


def test_weekdays_have_names_and_hours_both_ends():
    field = of("weekday", reading=Reading(time="iso8601"))
    # 2024-02-25 was a Sunday.
    days = pl.Series([f"2024-02-{25 + i} 10" for i in range(5)])
    assert [level_name(field, level) for level in to_levels(days, "weekday")] == list(WEEKDAYS[:5])
    assert level_name(of("hour_of_day", reading=Reading(time="iso8601")), "07") == "07:00 to 07:59"


def test_other_levels_are_their_text():
    assert [level_name(of("text"), one) for one in ("bin:0", "0", "")] == ["bin:0", "0", "(missing)"]
    assert level_name(of("value", parameters=(0.0, 1.0)), "value") == "(a number)"
    assert level_name(of("price_bucket"), "11-50") == "11-50"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({}, "liked = 1"),
        ({"positive": ("yes",)}, "liked = yes"),
        ({"positive": ("a", "b")}, "liked = a or b"),
        ({"at_least": 4.0}, "liked ≥ 4"),
        ({"at_least": 3.5}, "liked ≥ 3.5"),
    ],
)
def test_a_label_is_named_as_the_user_declared_it(given, name):
    assert positive_name(RawFormat("tabular", "liked", **given)) == name
