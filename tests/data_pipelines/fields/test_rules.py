import datetime
import decimal
import math

import numpy as np
import polars as pl
import pytest

from data_pipelines.fields import rules
from data_pipelines.fields.readings import Reading


def _levels(values, transform="log_square"):
    return rules.to_levels(pl.Series("I1", [str(v) for v in values], pl.String), transform).to_list()


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


def test_log1p_of_square_by_hand():
    # ln 2 = .69, ln 5 = 1.6, ln 10 = 2.3, ln 10001 = 9.2; the sign and 0 against 1 are lost, as in the release.
    values = ["-1", "0", "1", "2", "3", "100", "-100", "", "9223372036854775807", "-9223372036854775808"]
    assert _levels(values, "log1p_of_square") == [
        *["log:0", "log:0", "log:0", "log:1", "log:2", "log:9", "log:9"],
        *["", "log:87", "log:87"],
    ]


def test_one_and_the_logarithmic_bin_one_do_not_collide():
    assert _levels([1]) != _levels([3])


@pytest.mark.parametrize(
    "boundaries, exponent",
    [
        (rules.LOG_SQUARE_BOUNDARIES, "square"),
        (rules.LOG_OF_SQUARE_BOUNDARIES, "double"),
        (rules.LOG1P_OF_SQUARE_BOUNDARIES, "plus one"),
    ],
)
def test_boundaries_agree_with_decimal_logarithms(boundaries, exponent):
    decimal.getcontext().prec = 60
    assert boundaries.dtype == np.int64 and (np.diff(boundaries) > 0).all()
    for k, boundary in enumerate(boundaries.tolist(), start=1):
        for v, expected in ((boundary, k), (boundary - 1, k - 1)):
            if (v < 3 and exponent == "square") or v < 1:
                continue
            if exponent == "plus one":
                assert math.floor(decimal.Decimal(v * v + 1).ln()) == expected
                continue
            log = decimal.Decimal(v).ln()
            assert math.floor(log * log if exponent == "square" else 2 * log) == expected


def test_log_square_equals_floating_logarithm_on_small_integers():
    values = np.arange(3, 20_000)
    assert _levels(values) == [f"log:{math.floor(math.log(v) ** 2)}" for v in values]


def test_text_is_its_own_level_and_missing_is_one():
    assert _levels(["68fd1e64", "", " é"], "text") == ["68fd1e64", "", " é"]


def test_text_of_another_kind_is_unreadable():
    assert set(_levels(["1.5", "x", " 1", "+1", "1" * 30])) == {rules.UNREADABLE}
    assert set(_levels(["1e5x", "--1", "0x10", "1,5", "inf", "-infinity"], "value")) == {rules.UNREADABLE}
    assert set(_levels(["14132123", "2014", "14102124", "2014-1-2 03"], "hour_of_day")) == {rules.UNREADABLE}


def test_equal_frequency_bins_begin_at_their_boundaries():
    text = pl.Series(["0", "1.49", "1.5", "2", "2.0000001", "-1e300", "1e999", "", "NaN", "-nan"])
    assert rules.to_levels(text, "equal_frequency", (1.5, 2.0)).to_list() == [
        *["bin:0", "bin:0", "bin:1", "bin:2", "bin:2", "bin:0", "bin:2"],
        *["", "", ""],
    ]
    assert rules.to_levels(text, "equal_frequency", ()).to_list() == ["bin:0"] * 7 + [""] * 3


def test_values_are_standardised_and_cut_off():
    text = pl.Series(["3", "5", "", "nan", "x", "1e999", "-1e999", "-1"])
    np.testing.assert_allclose(rules.to_values(text, "value", (3.0, 2.0)), [0, 1, 0, 0, 0, 10, -10, -2])
    logarithm = rules.to_values(text, "log_value", (0.0, 1.0))
    np.testing.assert_allclose(logarithm, [math.log(4), math.log(6), 0, 0, 0, 10, -10, -math.log(2)], rtol=1e-6)
    assert _levels(["3", "", "x"], "value") == ["value", "", rules.UNREADABLE]


@pytest.mark.parametrize(
    "text, hour, weekday",
    [
        ("2014-10-21 00", "00", "2"),  # a Tuesday
        ("2014-10-26 23", "23", "0"),  # a Sunday
        ("2000-02-29 05", "05", "2"),  # a leap day
        ("1900-03-01 05", "05", "4"),  # no leap year
        ("2011-11-01", "", "2"),
        ("14102123", None, None),
        ("2014-10-21 05:00", None, None),
        ("", "", ""),
    ],
)
def test_times(text, hour, weekday):
    expected = [rules.UNREADABLE if part is None else part for part in (hour, weekday)]
    assert [_levels([text], rule)[0] for rule in ("hour_of_day", "weekday")] == expected


def test_weekdays_are_those_of_the_calendar():
    days = [datetime.date(1999, 12, 25) + datetime.timedelta(days=n) for n in range(5000)]
    assert _levels([f"{day} 00" for day in days], "weekday") == [day.strftime("%w") for day in days]


def test_values_of_a_constant_say_nothing():
    text = pl.Series(["0.1", "0.100001", "0.2", "", "x", "1e999"])
    assert rules.to_values(text, "value", (0.1, 0.0)).tolist() == [0.0] * 6


def test_user_agents_and_prices():
    agents = {
        "Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/537.1 Chrome/21.0 Safari/537.1": "windows_chrome",
        "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 5.1; TheWorld)": "windows_theworld",
        "Opera/9.8 (Macintosh)": "mac_opera",
        "android_safari": "android_safari",
        "curl": "other_other",
        "WİNDOWS": "other_other",
        "": "",
    }
    assert _levels(agents, "os_browser") == list(agents.values())
    prices = {"0": "0", "-5": "0", "1": "1-10", "10": "1-10", "11": "11-50", "50": "11-50", "51": "51-100"}
    prices |= {"100": "51-100", "101": "101+", "9" * 30: "101+", "": "", "null": "", "5.5": rules.UNREADABLE}
    assert _levels(prices, "price_bucket") == list(prices.values())


def test_split_values():
    text = pl.Series(["a|b", "", "|", "a||b|", "a"])
    assert rules.split_values(text, "|").to_list() == [["a", "b"], [""], [""], ["a", "b"], ["a"]]
    text = pl.Series(["a| NA |b ", "NA|NA", "\t a", "na|N A", " 1.0 |NA"])
    found = rules.split_values(text, "|", Reading(("NA",), trim=True)).to_list()
    assert found == [["a", "b"], [""], ["a"], ["na", "N A"], ["1"]]
    assert rules.split_values(text[:1], "|", Reading(("NA",))).to_list() == [["a", " NA ", "b "]]


def test_unknown_transform():
    with pytest.raises(ValueError, match="cube"):
        _levels([1], "cube")
