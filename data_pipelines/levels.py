"""Raw text -> level text: what counts as one level of a field.

Numeric values become categorical bins (AdaEnsemble, arXiv 2301.08353, section 4.1). Two rules:

* "log_square", of the winning team of the Criteo Kaggle contest: floor(ln(v)^2) for v > 2, else v itself. The
  two kinds of bins are apart ("log:1" holds 3 and 4, "=1" holds 1), so negatives have bins of their own.
* "log_of_square", as the paper prints it: floor(ln(v^2)), here with bins of their own for 0 and for
  negatives.

A missing value (empty text) is the level "" under every rule. Bins come from integer boundaries, never from a
floating logarithm at run time, so any other implementation over the same boundaries agrees exactly.
"""

import decimal
from collections.abc import Callable

import numpy as np
import polars as pl

EXACT_PREFIX = "="
"""Precedes an integer that is its own bin: "=2", "=-1"."""
LOG_PREFIX = "log:"
"""Precedes the number of a logarithmic bin: "log:17"."""
NEGATIVE_LOG_PREFIX = "-log:"
"""Precedes the number of a logarithmic bin of negative values ("log_of_square" only)."""
LARGEST_EXACT = 2
"""Under "log_square", integers up to this one are their own bins."""
TEXT_NEVER_A_LEVEL = r"[\r\n\x00]"
"""Regular expression of text that is always out of vocabulary: vocabulary files hold one level a line."""

_INT64_MAX = np.iinfo(np.int64).max


def _boundaries(logarithm: Callable[[int], decimal.Decimal], first: int) -> np.ndarray:
    """Smallest integers v with ln(v) >= logarithm(k), for k = first, first + 1, ... up to the int64
    maximum."""
    # e^x is irrational for the x != 0 used here, and 60 digits are far more than the 19 of an int64, so
    # rounding up cannot land on the wrong side of an integer.
    values = []
    with decimal.localcontext(decimal.Context(prec=60)):
        for k in range(first, 10**6):
            value = int(logarithm(k).exp().to_integral_value(rounding=decimal.ROUND_CEILING))
            if value > _INT64_MAX:
                break
            values.append(value)
    boundaries = np.array(values, np.int64)
    boundaries.setflags(write=False)
    return boundaries


LOG_SQUARE_BOUNDARIES = _boundaries(lambda k: decimal.Decimal(k).sqrt(), first=1)
"""int64 [1906]: element k-1 is the smallest integer v > 2 with floor(ln(v)^2) >= k (3, 5, 6, 8, 10, ...), so
`searchsorted(LOG_SQUARE_BOUNDARIES, v, side="right")` is floor(ln(v)^2) for every v > 2."""

LOG_OF_SQUARE_BOUNDARIES = _boundaries(lambda k: decimal.Decimal(k) / 2, first=1)
"""int64 [87]: element k-1 is the smallest integer v with floor(ln(v^2)) >= k (2, 3, 5, 8, 13, ...), so
`searchsorted(LOG_OF_SQUARE_BOUNDARIES, v, side="right")` is floor(ln(v^2)) for every v >= 1."""


def level_codes(text: pl.Series, transform: str) -> pl.Series:
    """The level of each value, as something cheaper to count than its text.

    Args:
        text: raw text of one column [n]; where `transform` is a numeric one, valid int64 text or "".
        transform: one of `schema.TRANSFORMS`.

    Returns:
        [n], equal where levels are equal: the text itself for "text", an int64 code (null for missing)
        otherwise. `level_texts` turns codes into level texts.

    Raises:
        ValueError: unknown transform.
    """
    if transform == "text":
        return text
    values = text.cast(pl.Int64, strict=False)
    v = values.fill_null(0).to_numpy()
    if transform == "log_square":
        logarithmic = np.searchsorted(LOG_SQUARE_BOUNDARIES, v, side="right")
        codes = np.where(v > LARGEST_EXACT, LARGEST_EXACT + logarithmic, v)
    elif transform == "log_of_square":
        magnitude = np.abs(np.maximum(v, -_INT64_MAX))  # |-2^63| is no int64; the bin is the same
        codes = np.sign(v) * (np.searchsorted(LOG_OF_SQUARE_BOUNDARIES, magnitude, side="right") + 1)
    else:
        raise ValueError(f"unknown transform {transform!r}")
    codes = pl.Series(text.name, codes, pl.Int64)
    return codes.set(values.is_null(), None) if values.null_count() else codes


def level_texts(codes: pl.Series, transform: str) -> pl.Series:
    """Level texts [n] of codes [n] that `level_codes` gave; "" for missing.

    Text that may not be a level (`TEXT_NEVER_A_LEVEL`) stays as it is: no vocabulary holds it.
    """
    name = codes.name
    if transform == "text":
        return codes
    code = pl.col(name)
    if transform == "log_square":
        exact = code <= LARGEST_EXACT
        texts = pl.when(exact).then(_label(EXACT_PREFIX, code)).otherwise(_label(LOG_PREFIX, code - LARGEST_EXACT))
    elif transform == "log_of_square":
        texts = (
            pl.when(code > 0)
            .then(_label(LOG_PREFIX, code - 1))
            .when(code < 0)
            .then(_label(NEGATIVE_LOG_PREFIX, -code - 1))
            .otherwise(_label(EXACT_PREFIX, code))
        )
    else:
        raise ValueError(f"unknown transform {transform!r}")
    missing = code.is_null()
    return codes.to_frame().select(pl.when(missing).then(pl.lit("")).otherwise(texts).alias(name)).to_series()


def levels(text: pl.Series, transform: str) -> pl.Series:
    """Level text of each raw text [n]; see the module's docstring for the rules."""
    return level_texts(level_codes(text, transform), transform)


def _label(prefix: str, number: pl.Expr) -> pl.Expr:
    return pl.concat_str([pl.lit(prefix), number.cast(pl.String)])
