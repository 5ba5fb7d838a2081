"""Kinds of raw text: what a column may hold for a transform to read it."""

import polars as pl

INTEGER = r"^-?[0-9]+$"
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
MISSING_NUMBER = r"^([+-]?[nN][aA][nN])?$"
_YEAR = r"(?P<year>(?:19|20)[0-9]{2})"
_MONTH, _DAY, _HOUR = r"(?P<month>0[1-9]|1[0-2])", r"(?P<day>0[1-9]|[12][0-9]|3[01])", r"(?P<hour>[01][0-9]|2[0-3])"
TIMES = (
    rf"^(?P<year>[0-9]{{2}}){_MONTH}{_DAY}{_HOUR}$",
    rf"^{_YEAR}{_MONTH}{_DAY}{_HOUR}[0-9]{{0,7}}$",
    rf"^{_YEAR}-{_MONTH}-{_DAY}[T ]{_HOUR}([^0-9][^\n]*)?$",
    rf"^{_YEAR}-{_MONTH}-{_DAY}(?P<hour>)$",
)
"""Regular expressions of the times there are, with groups year, month, day and hour; a date has an empty hour."""
DESCRIPTIONS = {
    "integer": "an integer",
    "number": "a number",
    "time": "a time like 14102123 or 2014-10-21 23:00",
    "price": "an integer price",
}
"""How errors name a kind."""


def is_of_kind(text: pl.Series, kind: str) -> pl.Series:
    """Whether each text [n] is of a kind; empty text is, as missing."""
    if kind == "text":
        return pl.Series([True]).new_from_index(0, len(text))
    if kind == "integer":
        # The cast takes a plus sign too, which other readers of these logs need not.
        readable = text.cast(pl.Int64, strict=False).is_not_null() & text.str.contains(INTEGER)
        return readable | (text == "")
    if kind == "price":
        return text.str.contains(INTEGER) | text.is_in(["", "null"])
    if kind == "number":
        return text.str.contains(NUMBER) | text.str.contains(MISSING_NUMBER)
    if kind == "time":
        fits = text == ""
        for pattern in TIMES:
            fits = fits | text.str.contains(pattern)
        return fits
    raise ValueError(f"unknown kind {kind!r}")
