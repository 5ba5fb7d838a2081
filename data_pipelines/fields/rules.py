"""Raw text -> level text: what counts as one level of a field.

Numeric values become categorical bins (AdaEnsemble, arXiv 2301.08353, section 4.1) by one of these rules:

* "log_square", by the winners of the Criteo Kaggle contest: floor(ln(v)^2) for an integer v > 2, else v itself. The
  two kinds of bins are named apart ("log:1" holds 3 and 4, "=1" holds 1), so negative numbers have bins of their own.
* "log_of_square", as the paper prints it: floor(ln(v^2)), here with bins of their own for 0 and for negatives.
* "log1p_of_square", as AdaEnsemble's release computes it: floor(ln(v^2 + 1)), v and -v in one bin, and 0 in that of 1.
* "equal_frequency": "bin:i" is the i-th of bins that hold about equally many training rows each.
* "value" and "log_value": one level, "value", with a float beside it (see `to_values`).
* "price_bucket": 0, 1-10, 11-50, 51-100, 101+, of iPinYou's benchmark (Zhang et al., arXiv 1407.7073).

Other rules reduce text. "hour_of_day" ("00" .. "23") and "weekday" ("0" is Sunday) take a time as `times.py`
reads it; the hour of a bare date is missing. "os_browser" takes a user agent and finds the first operating system and
the first browser, of two lists, that it names (same benchmark). "text" and
"hashed" keep the canonical text (`canonical.py`); a hashed field turns it into a bucket (`hashing.py`).

All rules take text that the field's reading has rewritten (`readings.read`). A missing value (empty text; NaN among
numbers) is the level "" under every rule. Text that is not of the rule's kind becomes `UNREADABLE`, which is in no
vocabulary. Preparation refuses such text; serving may receive it. Logarithmic bins come from integer boundaries, never
from a floating-point logarithm at run time, so any implementation with the same boundaries agrees exactly.
"""

import decimal
from collections.abc import Callable

import numpy as np
import polars as pl

from data_pipelines.fields.canonical import canonical, canonical_lists
from data_pipelines.fields.kinds import INTEGER, NUMBER, is_of_kind
from data_pipelines.fields.readings import MISSING_NUMBER, PLAIN, UNREADABLE, Reading, read_lists
from data_pipelines.fields.times import CANONICAL

EXACT_PREFIX = "="
"""Precedes an integer that is its own bin: "=2", "=-1"."""
LOG_PREFIX = "log:"
"""Precedes the number of a logarithmic bin: "log:17"."""
NEGATIVE_LOG_PREFIX = "-log:"
"""Precedes the number of a logarithmic bin of negative values ("log_of_square" only)."""
BIN_PREFIX = "bin:"
"""Precedes the number of an equal-frequency bin: "bin:0"."""
VALUE = "value"
"""The one level of a value."""
LARGEST_EXACT = 2
"""Under "log_square", integers up to this one have bins of their own."""
TEXT_NEVER_A_LEVEL = r"[\r\n\x00]"
"""Matches text that is always out of vocabulary, because vocabulary files hold one level per line."""
PRICE_BOUNDARIES = (1, 11, 51, 101)
PRICE_LEVELS = ("0", "1-10", "11-50", "51-100", "101+")
SYSTEMS = ("windows", "ios", "mac", "android", "linux")
BROWSERS = ("chrome", "sogou", "maxthon", "safari", "firefox", "theworld", "opera", "ie")
OTHER = "other"
MONTH_SHIFTS = (0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4)
"""Sakamoto's rule: the weekday of each month's first day, counted from January's, in a year that begins in March."""
LARGEST_VALUE = 10.0
"""Values are clipped at this many standard deviations, so that one outlier does not drown a batch."""

_INT64_MAX = np.iinfo(np.int64).max


def _boundaries(smallest: Callable[[int], decimal.Decimal]) -> np.ndarray:
    """Smallest integers v >= smallest(k), for k = 1, 2, ..; up to the int64 maximum."""
    # Powers of e are irrational for the exponents used here, and 60 digits are far more than the 19 of an int64,
    # so rounding up cannot land on the wrong side of an integer.
    values = []
    with decimal.localcontext(decimal.Context(prec=60)):
        for k in range(1, 10**6):
            value = int(smallest(k).to_integral_value(rounding=decimal.ROUND_CEILING))
            if value > _INT64_MAX:
                break
            values.append(value)
    boundaries = np.array(values, np.int64)
    boundaries.setflags(write=False)
    return boundaries


LOG_SQUARE_BOUNDARIES = _boundaries(lambda k: decimal.Decimal(k).sqrt().exp())
"""int64 [1906]: element k-1 is the smallest integer v > 2 with floor(ln(v)^2) >= k (3, 5, 6, 8, 10, ...), so
`searchsorted(LOG_SQUARE_BOUNDARIES, v, side="right")` is floor(ln(v)^2) for every v > 2."""

LOG_OF_SQUARE_BOUNDARIES = _boundaries(lambda k: (decimal.Decimal(k) / 2).exp())
"""int64 [87]: element k-1 is the smallest integer v with floor(ln(v^2)) >= k (2, 3, 5, 8, 13, ...), so
`searchsorted(LOG_OF_SQUARE_BOUNDARIES, v, side="right")` is floor(ln(v^2)) for every v >= 1."""

LOG1P_OF_SQUARE_BOUNDARIES = _boundaries(lambda k: (decimal.Decimal(k).exp() - 1).sqrt())
"""int64 [87]: element k-1 is the smallest integer v with floor(ln(v^2 + 1)) >= k (2, 3, 5, 8, 13, ...), so
`searchsorted(LOG1P_OF_SQUARE_BOUNDARIES, v, side="right")` is floor(ln(v^2 + 1)) for every v >= 0."""


def to_levels(text: pl.Series, transform: str, parameters: tuple[float, ...] = ()) -> pl.Series:
    """Level text of each raw text [n]; see the module's docstring for the rules.

    Args:
        text: raw text of one column [n].
        transform: a key of `declarations.TRANSFORMS`.
        parameters: the b inner boundaries of b + 1 "equal_frequency" bins; other rules ignore them.

    Raises:
        ValueError: unknown transform.
    """
    if transform not in _RULES:
        raise ValueError(f"unknown transform {transform!r}")
    return _RULES[transform](text.rechunk(), parameters).alias(text.name)


def split_values(text: pl.Series, separator: str, reading: Reading = PLAIN) -> pl.Series:
    """The canonical values of a multi-valued field: lists [n] without missing ones; [""] where nothing is left.

    Args:
        text: as the field reads it [n].
        separator: between values.
        reading: also applied to each value, so that "a| NA |b" can be the values a and b.
    """
    parts = canonical_lists(read_lists(text.str.split(separator), reading))
    parts = parts.list.eval(pl.element().filter(pl.element() != ""))
    return parts.set(parts.list.len() == 0, None).fill_null(pl.Series([[""]]))


def to_values(text: pl.Series, transform: str, parameters: tuple[float, ...]) -> np.ndarray:
    """The float beside the id: float32 [n] of raw text [n], 0 where it is missing or unreadable.

    "value" is (v - mean) / deviation, clipped at `LARGEST_VALUE`; "log_value" is the same for sign(v) ln(1 + |v|).
    `parameters` are the mean and deviation over the training split. A deviation of 0 means a constant. Every value is
    then 0, because nothing says how far another number is from the constant.
    """
    mean, deviation = parameters
    if not deviation:
        return np.zeros(len(text), np.float32)
    v = transformed(numbers(text), transform)
    scaled = np.clip((v - mean) / deviation, -LARGEST_VALUE, LARGEST_VALUE)
    return np.nan_to_num(scaled, nan=0.0).astype(np.float32)


def transformed(v: np.ndarray, transform: str) -> np.ndarray:
    """The number that is standardised: v, or sign(v) ln(1 + |v|) for "log_value"."""
    return np.sign(v) * np.log1p(np.abs(v)) if transform == "log_value" else v


def numbers(text: pl.Series) -> np.ndarray:
    """float64 [n] of number texts [n]; NaN where missing or unreadable."""
    readable = text.str.contains(NUMBER)
    return text.set(~readable, None).cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()


def _integers(text: pl.Series) -> tuple[np.ndarray, pl.Series]:
    """(int64 [n], 0 where unreadable; whether the text is an int64)."""
    readable = is_of_kind(text, "integer") & (text != "")
    return text.set(~readable, None).cast(pl.Int64).fill_null(0).to_numpy(), readable


def _log_square(text: pl.Series, parameters: tuple[float, ...]) -> pl.Series:
    v, readable = _integers(text)
    logarithmic = _label(LOG_PREFIX, np.searchsorted(LOG_SQUARE_BOUNDARIES, v, side="right"))
    level = _label(EXACT_PREFIX, v).zip_with(pl.Series(v <= LARGEST_EXACT), logarithmic)
    return _or_missing(level, readable, text == "")


def _log_of_square(text: pl.Series, parameters: tuple[float, ...]) -> pl.Series:
    v, readable = _integers(text)
    number = np.searchsorted(LOG_OF_SQUARE_BOUNDARIES, _magnitude(v), side="right")
    level = _label(LOG_PREFIX, number).zip_with(pl.Series(v > 0), _label(NEGATIVE_LOG_PREFIX, number))
    level = level.zip_with(pl.Series(v != 0), pl.Series([EXACT_PREFIX + "0"] * len(v), dtype=pl.String))
    return _or_missing(level, readable, text == "")


def _log1p_of_square(text: pl.Series, parameters: tuple[float, ...]) -> pl.Series:
    v, readable = _integers(text)
    number = np.searchsorted(LOG1P_OF_SQUARE_BOUNDARIES, _magnitude(v), side="right")
    return _or_missing(_label(LOG_PREFIX, number), readable, text == "")


def _magnitude(v: np.ndarray) -> np.ndarray:
    return np.abs(np.maximum(v, -_INT64_MAX))  # |-2^63| does not fit int64; the bin is the same


def _equal_frequency(text: pl.Series, parameters: tuple[float, ...]) -> pl.Series:
    v = numbers(text)
    level = _label(BIN_PREFIX, np.searchsorted(np.array(parameters, np.float64), v, side="right"))
    return _or_missing(level, pl.Series(~np.isnan(v)), text.str.contains(MISSING_NUMBER))


def _value(text: pl.Series, parameters: tuple[float, ...]) -> pl.Series:
    level = pl.Series([VALUE] * len(text), dtype=pl.String)
    return _or_missing(level, text.str.contains(NUMBER), text.str.contains(MISSING_NUMBER))


def _price_bucket(text: pl.Series, parameters: tuple[float, ...]) -> pl.Series:
    # Fifteen digits are enough for any price, and a float64 holds them.
    readable = text.str.contains(INTEGER)
    v = text.set(~readable, None).cast(pl.Float64, strict=False).fill_null(0).to_numpy()
    level = pl.Series(np.array(PRICE_LEVELS)[np.searchsorted(PRICE_BOUNDARIES, v, side="right")], dtype=pl.String)
    return _or_missing(level, readable, text.is_in(["", "null"]))


def _hour_of_day(text: pl.Series, parameters: tuple[float, ...]) -> pl.Series:
    return _or_missing(_time_part(text, "hour").fill_null(""), is_of_kind(text, "time") & (text != ""), text == "")


def _weekday(text: pl.Series, parameters: tuple[float, ...]) -> pl.Series:
    year, month, day = (
        _time_part(text, part).cast(pl.Int64).fill_null(1).to_numpy() for part in ("year", "month", "day")
    )
    year = year - (month < 3)
    number = (year + year // 4 - year // 100 + year // 400 + np.array(MONTH_SHIFTS)[month - 1] + day) % 7
    return _or_missing(_label("", number), is_of_kind(text, "time") & (text != ""), text == "")


def _time_part(text: pl.Series, part: str) -> pl.Series:
    return text.alias("t").to_frame().select(pl.col("t").str.extract_groups(CANONICAL).struct.field(part)).to_series()


def _os_browser(text: pl.Series, parameters: tuple[float, ...]) -> pl.Series:
    # As bytes, because lower() on text changes more than ASCII letters.
    found = [_first(SYSTEMS, t) + "_" + _first(BROWSERS, t) for t in (t.encode().lower() for t in text)]
    return _or_missing(pl.Series(found, dtype=pl.String), text != "", text == "")


def _first(names: tuple[str, ...], text: bytes) -> str:
    return next((name for name in names if name.encode() in text), OTHER)


def _label(prefix: str, number: np.ndarray) -> pl.Series:
    return prefix + pl.Series(number).cast(pl.String)


def _or_missing(level: pl.Series, readable: pl.Series, missing: pl.Series) -> pl.Series:
    return level.set(~readable, UNREADABLE).set(missing, "")


_RULES: dict[str, Callable[[pl.Series, tuple[float, ...]], pl.Series]] = {
    "text": lambda text, parameters: canonical(text),
    "hashed": lambda text, parameters: canonical(text),
    "log_square": _log_square,
    "log_of_square": _log_of_square,
    "log1p_of_square": _log1p_of_square,
    "equal_frequency": _equal_frequency,
    "value": _value,
    "log_value": _value,
    "hour_of_day": _hour_of_day,
    "weekday": _weekday,
    "os_browser": _os_browser,
    "price_bucket": _price_bucket,
}
