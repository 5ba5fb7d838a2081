"""Finds how a column's text may be read: blanks, missing tokens, ways to write numbers and times."""

import dataclasses
from itertools import product
from typing import Any, cast

import numpy as np
import polars as pl

from data_pipelines.fields.kinds import is_of_kind
from data_pipelines.fields.readings import BLANKS, MISSING_NUMBER, THOUSANDS, Reading, read
from data_pipelines.fields.rules import numbers
from data_pipelines.fields.times import FORMS, fitting_forms, readings_of

MISSING_TOKENS = frozenset(
    ["na", "n/a", "n.a.", "#n/a", "#na", "<na>", "nat", "null", "(null)", "none", "nil", "\\n", "-", "--", "?", "."]
    + ["missing", "unknown", "undefined", "inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"]
)
"""Lower-case texts that mean a missing value among numbers and times."""
_DATES = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%m-%d-%Y", "%d %b %Y")
_CLOCKS = ("", " %H:%M", " %H:%M:%S")
_PATTERNS = (*(date + clock for date, clock in product(_DATES, _CLOCKS)), "%d/%b/%Y:%H:%M:%S %z")
"""Frequent forms that have no name of their own."""


@dataclasses.dataclass(frozen=True)
class ColumnReading:
    """How a column's text may be read.

    Attributes:
        kind: "number", "time" or "text".
        text: the values that are not missing, as they are read.
        keys: the schema file's keys for this reading.
        why: the same in a few words; "" if there is nothing to say.
        doubt: the readings between which the text does not decide; "" if there is one.
    """

    kind: str
    text: pl.Series
    keys: dict[str, Any]
    why: str = ""
    doubt: str = ""


def is_missing_token(text: pl.Series) -> pl.Series:
    """Whether each text [n] is one of `MISSING_TOKENS`, in capitals or small letters."""
    return text.str.to_lowercase().is_in(list(MISSING_TOKENS))


def column_reading(column: pl.Series) -> ColumnReading:
    """How to read the text of a column that has values."""
    keys: dict[str, Any] = {}
    text = column.str.replace_all(BLANKS, "")
    whys = []
    if (text != column).any():
        keys["trim"], whys = True, ["blanks around values"]
    text = text.filter(text != "")
    is_token = is_missing_token(text) | text.str.contains(MISSING_NUMBER)
    body, tokens = text.filter(~is_token), text.filter(is_token & ~text.str.contains(MISSING_NUMBER)).unique().sort()
    rest = {"missing": tokens.to_list()} if len(tokens) else {}
    examples = _times(body)
    if examples:
        if len(examples) > 1:
            return ColumnReading("time", body, keys | rest, doubt=f"may be of two forms: {readings_of(examples)}")
        (form,) = examples
        return ColumnReading("time", body, keys | rest | {"format": form}, _why("times", whys, body, text, tokens))
    ways = _number_readings(body)
    if len(ways) > 1:
        values = np.stack([numbers(read(body, way)) for way in ways])
        one = int(np.argmax((values != values[0]).any(axis=0)))
        each = [f"{value:.12g} with {_way(way)}" for value, way in zip(values[:, one], ways, strict=True)]
        return ColumnReading("number", body, keys | rest, doubt=f"{body[one]!r} is {', or '.join(each)}")
    if ways:
        (way,) = ways
        written = {"decimal": way.decimal} if way.decimal != "." else {}
        written |= {"thousands": way.thousands} if way.thousands else {}
        whys += [_way(way)] if written else []
        body = read(body, way)
        return ColumnReading("number", body, keys | rest | written, _why("numbers", whys, body, text, tokens))
    share = (cast(float | None, is_of_kind(body, "number").mean()) or 0.0) if len(body) else 0.0
    if share >= 0.5:
        others = body.filter(~is_of_kind(body, "number")).unique().sort().head(3).to_list()
        shown = ", ".join(map(repr, others))
        whys.append(f'{100 * share:.0f} % numbers; among the rest is {shown}: name it in "missing" if it means that')
    return ColumnReading("text", text, keys, ", ".join(whys))


def _times(body: pl.Series) -> dict[str, str]:
    """The forms that fit all texts, each with the first text."""
    if not len(body):
        return {}
    first = [name for name, fits in fitting_forms(body[:1], (*FORMS, *_PATTERNS)).items() if fits.all()]
    return {name: body[0] for name, fits in fitting_forms(body, first).items() if fits.all()}


def _number_readings(body: pl.Series) -> list[Reading]:
    """Ways to write numbers that fit all texts and give different numbers, the simplest first."""
    if not len(body):
        return []
    if is_of_kind(body, "number").all():
        return [Reading()]
    found: list[tuple[Reading, np.ndarray]] = []
    for thousands, decimal in product(("", *THOUSANDS), (".", ",")):
        if decimal == thousands or (decimal == "." and not thousands):
            continue
        way = Reading(decimal=decimal, thousands=thousands)
        if body.str.contains(way.number).all():
            values = numbers(read(body, way))
            if not any(np.array_equal(values, others) for _, others in found):
                found.append((way, values))
    return [way for way, _ in found]


def _way(way: Reading) -> str:
    between = f"{way.thousands!r} between thousands"
    return f"decimal comma{f' and {between}' if way.thousands else ''}" if way.decimal == "," else between


def _why(what: str, whys: list[str], body: pl.Series, text: pl.Series, tokens: pl.Series) -> str:
    if len(tokens):
        share = 100 * len(body) / len(text)
        whys = [f"{share:.0f} % {what}; the rest is {', '.join(map(repr, tokens))}", *whys]
    return ", ".join(whys)
