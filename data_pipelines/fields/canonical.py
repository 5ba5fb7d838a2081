"""One text for one category, whichever program wrote it.

pandas turns a column of integers into floats once one is missing, so the id 100 becomes 100.0. Spark writes 100000000.0
as 1.0E8. Categorical and multi-valued fields, and no others, rewrite such texts:

* A whole number written with zeros after the point becomes its digits: "100.0" and "100.00" are "100", "-0.0" is "0",
  "9007199254740993.0" is "9007199254740993". A number with leading zeros, such as "007.0", stays as it is.
* A whole number in scientific notation becomes its digits if its magnitude is below 2^63: "1e+16" and "1.0E16" are
  "10000000000000000", "1.2345678E7" is "12345678". The text is rounded to the nearest float64. It must have one digit
  before the point, and a point or a plus sign, because "12e45678" and "1e16" may be hexadecimal ids.
* "nan" and "NaN", with or without a minus sign, are missing: "".
* "True" and "TRUE" become "true", "False" and "FALSE" become "false", which is how Parquet's booleans are read.

Any other text stays as it is, including fractions and leading or trailing blanks. Canonical text does not change.
`ada_ensemble_tf.inference.transforms` applies the same patterns in the graph.
"""

import polars as pl

WHOLE = r"-?(0|[1-9][0-9]*)\.0+"
SCIENTIFIC = r"-?[1-9](\.[0-9]+[eE]\+?|[eE]\+)[0-9]{1,2}"
NOT_A_NUMBER = r"-?(nan|NaN)"
BOOLEAN = r"True|TRUE|False|FALSE"
NOT_CANONICAL = rf"^({WHOLE}|{SCIENTIFIC}|{NOT_A_NUMBER}|{BOOLEAN})$"
"""Matches all text that may have to be rewritten."""
ZEROS = r"\.0+$"
LARGEST = 2.0**63
"""Whole floats of smaller magnitude are written as integers."""


def canonical(text: pl.Series) -> pl.Series:
    """The canonical text of each text [n]; the same series object if all are canonical."""
    odd = text.str.contains(NOT_CANONICAL)
    if not odd.any():
        return text
    places = odd.arg_true()
    frame = text.gather(places).alias("text").to_frame()
    return text.clone().scatter(places, frame.select(_canonical(pl.col("text"))).to_series())


def canonical_lists(lists: pl.Series) -> pl.Series:
    """Lists [n] with the canonical text of each text."""
    if not lists.explode().str.contains(NOT_CANONICAL).any():
        return lists
    return lists.list.eval(_canonical(pl.element()))


def float_texts(v: pl.Series) -> pl.Series:
    """The canonical text of floats [n]; null and NaN are null."""
    frame = v.alias("v").to_frame()
    number = pl.col("v").cast(pl.Float64)
    text = pl.when(_is_whole(number)).then(_digits(number)).when(number.is_not_nan()).then(pl.col("v").cast(pl.String))
    return frame.select(text).to_series()


def _canonical(text: pl.Expr) -> pl.Expr:
    v = text.cast(pl.Float64, strict=False)
    digits = text.str.replace(ZEROS, "")
    return (
        pl.when(text.str.contains(rf"^{WHOLE}$"))
        .then(pl.when(digits == "-0").then(pl.lit("0")).otherwise(digits))
        .when(text.str.contains(rf"^{SCIENTIFIC}$") & _is_whole(v))
        .then(_digits(v))
        .when(text.str.contains(rf"^{NOT_A_NUMBER}$"))
        .then(pl.lit(""))
        .when(text.str.contains(rf"^({BOOLEAN})$"))
        .then(text.str.to_lowercase())
        .otherwise(text)
    )


def _is_whole(v: pl.Expr) -> pl.Expr:
    return (v == v.floor()) & (v.abs() < LARGEST)


def _digits(v: pl.Expr) -> pl.Expr:
    return v.cast(pl.Int64, strict=False).cast(pl.String)
