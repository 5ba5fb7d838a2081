"""Crosses: one field of the levels that several fields of one value have in a row.

A cross is a hashed field (`hashing.py`) whose text is made of its fields' levels: the number of UTF-8 bytes of each, a
colon and the level, so that no two lists of levels give one text: "a" and "bc" are "1:a2:bc". Levels that are too rare
for a vocabulary take part as they are. If all levels are missing, so is the cross; if one cannot be read, which happens
only when a model is served, the cross is out of vocabulary.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
import pyarrow as pa

from data_pipelines.fields.columns import codes, distinct
from data_pipelines.fields.declarations import Input
from data_pipelines.fields.readings import UNREADABLE, read
from data_pipelines.fields.rules import to_levels
from data_pipelines.fields.schema import Field


def crossed_levels(columns: pa.RecordBatch, fields: Sequence[Field | Input]) -> tuple[pl.Series, np.ndarray]:
    """The distinct texts of a cross of these fields [d], and each row's position among them [n]."""
    found = [_levels(columns, field) for field in fields]
    code, count = np.zeros(columns.num_rows, np.int64), 1
    for levels, one in found:
        # Numbered anew after each field, so that products of many fields' levels stay small.
        pairs, code = np.unique(code * len(levels) + one, return_inverse=True)
        count = len(pairs)
    first = np.zeros(count, np.int64)
    first[code] = np.arange(columns.num_rows)
    parts = [levels.gather(one[first]).alias(str(i)) for i, (levels, one) in enumerate(found)]
    texts = pl.DataFrame(parts).select(_crossed([pl.col(part.name) for part in parts])).to_series()
    return texts, code


def _levels(columns: pa.RecordBatch, field: Field | Input) -> tuple[pl.Series, np.ndarray]:
    parameters = field.parameters if isinstance(field, Field) else ()
    levels = to_levels(read(distinct(columns, field.column), field.reading), field.transform, parameters)
    return levels, codes(columns, field.column).astype(np.int64)


def _crossed(parts: list[pl.Expr]) -> pl.Expr:
    text = pl.concat_str([pl.concat_str([one.str.len_bytes().cast(pl.String), pl.lit(":"), one]) for one in parts])
    return (
        pl.when(pl.any_horizontal([one == UNREADABLE for one in parts]))
        .then(pl.lit(UNREADABLE))
        .when(pl.all_horizontal([one == "" for one in parts]))
        .then(pl.lit(""))
        .otherwise(text)
    )
