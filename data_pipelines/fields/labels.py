"""Which texts of the label column are positive.

By default the column holds 0 and 1, which may be written 0.0 and 1.0, or false and true in small letters or capitals.
If a raw format lists the positive texts, all other texts except missing ones are negative. If it gives the smallest
positive number, the column holds numbers. Blanks around a text do not count.
"""

import json

import numpy as np
import polars as pl

from data_pipelines.fields.canonical import canonical
from data_pipelines.fields.declarations import RawFormat
from data_pipelines.fields.rules import numbers

NO_LABEL = -1
_LABELS = {"0": 0, "1": 1, "false": 0, "true": 1}


def label_values(text: pl.Series, raw_format: RawFormat) -> np.ndarray:
    """int8 [n]: 1 or 0, or `NO_LABEL` where a text [n] is no label of the format."""
    text = text.str.strip_chars()
    if raw_format.at_least is not None:
        v = numbers(text)
        return np.where(np.isnan(v), NO_LABEL, v >= raw_format.at_least).astype(np.int8)
    text = canonical(text)
    if raw_format.positive:
        found = text.is_in(canonical(pl.Series(raw_format.positive).str.strip_chars()).to_list())
        return np.where(text == "", NO_LABEL, found).astype(np.int8)
    return text.str.to_lowercase().replace_strict(_LABELS, default=NO_LABEL, return_dtype=pl.Int8).to_numpy()


def label_description(raw_format: RawFormat) -> str:
    """How errors name what a label should be."""
    if raw_format.at_least is not None:
        return "a number"
    return "a label" if raw_format.positive else "0 or 1"


def way_to_declare(texts: pl.Series, raw_format: RawFormat) -> str:
    """How to declare in a schema file which of the distinct texts [n] are positive; "" if all are labels or missing."""
    found = sorted(set(texts.str.strip_chars()) - {""})
    if (label_values(pl.Series(found, dtype=pl.String), raw_format) != NO_LABEL).all():
        return ""
    example, holds = "TEXT", ""
    if 1 < len(found) <= _FEW:
        # The last in order is usually the positive one: 1 after -1, yes after no, true after false.
        example, holds = found[-1], f" of {', '.join(map(repr, found))}"
    declared = f'"label": {{"column": {json.dumps(raw_format.label, ensure_ascii=False)}, "positive": "{example}"}}'
    return f'say in the schema which{holds} are positive, as {declared}, or from which number on ("at_least")'


_FEW = 5
