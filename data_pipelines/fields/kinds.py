"""Kinds of raw text: what a column must hold so that a transform can read it."""

from typing import NamedTuple

import polars as pl

from data_pipelines.fields.readings import MISSING_NUMBER, PLAIN, Reading, read
from data_pipelines.fields.times import CANONICAL

INTEGER = r"^-?[0-9]+$"
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
DESCRIPTIONS = {
    "integer": "an integer",
    "number": "a number",
    "time": "a time",
    "price": "an integer price",
}
"""How errors name a kind."""


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
    raise ValueError(f"unknown kind {kind!r}")
