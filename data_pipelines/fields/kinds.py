"""Kinds of raw text: what a column must hold so that a transform, a split or a loss can read it."""

from typing import NamedTuple

import polars as pl

from data_pipelines.fields.readings import MISSING_NUMBER, PLAIN, Reading, read
from data_pipelines.fields.split_rules import SPLIT_NAMES
from data_pipelines.fields.times import CANONICAL

INTEGER = r"^-?[0-9]+$"
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
DESCRIPTIONS = {
    "integer": "an integer",
    "number": "a number",
    "time": "a time",
    "price": "an integer price",
    "instant": "a time",
    "split": "train, validation or test",
    "weight": "a number of at least 0",
}
"""How errors name a kind. The last three may not be missing."""
LARGEST_WEIGHT = 1e30
"""Sums of so large weights still fit float32."""


class Kind(NamedTuple):
    """A kind of text and how a field reads it.

    Attributes:
        name: a key of `DESCRIPTIONS`.
        reading: how the text is read.
    """

    name: str
    reading: Reading = PLAIN


def description(kind: str | Kind) -> str:
    """How errors name a kind."""
    name, reading = kind if isinstance(kind, Kind) else (kind, PLAIN)
    text = DESCRIPTIONS[name]
    if reading.time:
        text += f" of the form {reading.time}"
    if reading.rewrites_numbers and name != "time":
        between = f", {reading.thousands!r} between thousands" if reading.thousands else ""
        text += f" with {reading.decimal!r} before its fraction{between}"
    return text


def is_of_kind(text: pl.Series, kind: str | Kind) -> pl.Series:
    """Whether each text [n] is of a kind. Empty text is missing and of every kind."""
    if isinstance(kind, Kind):
        return is_of_kind(read(text, kind.reading), kind.name)
    if kind == "text":
        return pl.Series([True]).new_from_index(0, len(text))
    if kind == "integer":
        # The cast also accepts a plus sign, which other readers of these logs may refuse.
        readable = text.cast(pl.Int64, strict=False).is_not_null() & text.str.contains(INTEGER)
        return readable | (text == "")
    if kind == "price":
        return text.str.contains(INTEGER) | text.is_in(["", "null"])
    if kind == "number":
        return text.str.contains(NUMBER) | text.str.contains(MISSING_NUMBER)
    if kind == "time":
        return text.str.contains(CANONICAL) | (text == "")
    if kind == "instant":
        return text.str.contains(CANONICAL)
    if kind == "split":
        return text.str.strip_chars().str.to_lowercase().is_in(list(SPLIT_NAMES))
    if kind == "weight":
        number = text.set(~text.str.contains(NUMBER), None).cast(pl.Float64, strict=False)
        return number.is_between(0, LARGEST_WEIGHT).fill_null(False)
    raise ValueError(f"unknown kind {kind!r}")
