import decimal
import math

import numpy as np
import polars as pl
import pytest

from data_pipelines import levels


def _levels(values, transform="log_square"):
    return levels.levels(pl.Series("I1", [str(v) for v in values], pl.String), transform).to_list()


def test_log_square_by_hand():
    # ln(3)^2 = 1.21, ln(8)^2 = 4.32, ln(100)^2 = 21.2, ln(2^63 - 1)^2 = 1906.9
    values = [
        "-1",
        "0",
        "1",
        "2",
        "3",
        "4",
        "8",
        "100",
        "9223372036854775807",
        "",
        "-9223372036854775808",
        "007",
    ]
    assert _levels(values) == [
        *["=-1", "=0", "=1", "=2", "log:1", "log:1", "log:4", "log:21", "log:1906"],
        *["", "=-9223372036854775808", "log:3"],
    ]


def test_log_of_square_by_hand():
    # 2 ln 2 = 1.39, 2 ln 3 = 2.2, 2 ln 100 = 9.2, 2 ln 2^63 = 87.3
    values = ["-1", "0", "1", "2", "3", "100", "-100", "", "9223372036854775807", "-9223372036854775808"]
    assert _levels(values, "log_of_square") == [
        *["-log:0", "=0", "log:0", "log:1", "log:2", "log:9", "-log:9"],
        *["", "log:87", "-log:87"],
    ]


def test_one_and_the_logarithmic_bin_one_do_not_collide():
    assert _levels([1]) != _levels([3])


@pytest.mark.parametrize(
    "boundaries, exponent",
    [(levels.LOG_SQUARE_BOUNDARIES, "square"), (levels.LOG_OF_SQUARE_BOUNDARIES, "double")],
)
def test_boundaries_agree_with_decimal_logarithms(boundaries, exponent):
    decimal.getcontext().prec = 60
    assert boundaries.dtype == np.int64 and (np.diff(boundaries) > 0).all()
    for k, boundary in enumerate(boundaries.tolist(), start=1):
        for v, expected in ((boundary, k), (boundary - 1, k - 1)):
            if v < 3 and exponent == "square" or v < 1:
                continue
            log = decimal.Decimal(v).ln()
            assert math.floor(log * log if exponent == "square" else 2 * log) == expected


def test_log_square_equals_floating_logarithm_on_small_integers():
    values = np.arange(3, 20_000)
    assert _levels(values) == [f"log:{math.floor(math.log(v) ** 2)}" for v in values]


def test_text_is_its_own_level_and_missing_is_one():
    assert _levels(["68fd1e64", "", " é"], "text") == ["68fd1e64", "", " é"]


def test_codes_are_equal_where_levels_are():
    for transform in ("log_square", "log_of_square"):
        text = pl.Series("I1", [""] + [str(v) for v in range(-50, 2000)])
        codes = levels.level_codes(text, transform)
        pairs = pl.DataFrame({"code": codes, "level": levels.level_texts(codes, transform)}).unique()
        assert pairs["code"].n_unique() == pairs["level"].n_unique() == pairs.height


def test_unknown_transform():
    with pytest.raises(ValueError, match="cube"):
        _levels([1], "cube")
