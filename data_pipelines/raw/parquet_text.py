"""Turns values of Parquet's types into the text that the same values have in a CSV file.

These types are read:

* text, also as a dictionary or as binary data in UTF-8;
* integers; floats, where whole numbers below 2^63 are written as integers and NaN is missing; decimals, without a
  fraction of zeros;
* booleans, as true and false;
* dates as 2014-10-21, times as 23:00:00, timestamps as 2014-10-21 23:00:00; fractions of a second appear only if they
  are not zero; a column with a time zone gives the zone's local time and offset (23:00:00+02:00);
* lists of any of these, as the values of a multi-valued field; missing values are left out;
* columns without a type, where every value is missing.

Structs, maps, lists of those or of lists, durations, intervals and extension types have no unique text form and are
refused.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import polars as pl
import pyarrow as pa
from pyarrow import types

from data_pipelines.errors import UserError
from data_pipelines.fields.canonical import ZEROS, float_texts
from data_pipelines.names import shown

_SCALARS = (
    *(types.is_boolean, types.is_integer, types.is_floating, types.is_decimal, types.is_date, types.is_time),
    *(types.is_timestamp, types.is_null, types.is_string, types.is_large_string, types.is_string_view),
    *(types.is_binary, types.is_large_binary, types.is_binary_view, types.is_fixed_size_binary),
)
_LARGEST_EXACT = 2**53
"""Beyond this, neighbouring integers become the same float."""


def is_list(kind: pa.DataType) -> bool:
    """Whether a type is a list type."""
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def has_text(kind: pa.DataType) -> bool:
    """Whether a type's values are read as text."""
    if is_list(kind):
        return not is_list(kind.value_type) and has_text(kind.value_type)
    if types.is_dictionary(kind):
        return not types.is_dictionary(kind.value_type) and has_text(kind.value_type)
    return any(fits(kind) for fits in _SCALARS)


def check_types(schema: pa.Schema, columns: Sequence[str], separators: Mapping[str, str], path: Path) -> None:
    """Raises UserError if a column's type has no text form, or if it is a list that no multi-valued field reads."""
    for name in columns:
        kind = schema.field(name).type
        if not has_text(kind):
            raise UserError(
                f"{path}: column {shown(name)} is of type {kind}, which has no unique text form; write its values to "
                "columns of text or numbers, or leave the field out"
            )
        if is_list(kind) and name not in separators:
            raise UserError(f"{path}: column {shown(name)} holds lists; make it a multi-valued field with a separator")


def column_text(column: pl.Series, path: Path, separator: str | None) -> pl.Series:
    """The text [n] of a column; null where it is missing. Raises UserError if binary data is not text."""
    if not isinstance(column.dtype, pl.List | pl.Array):
        return _scalar_text(column, path)
    assert separator is not None, "check_types refuses lists without one"
    rows = pl.DataFrame({"row": pl.arange(0, len(column), eager=True), "value": column})
    rows = rows.explode("value").drop_nulls()
    rows = rows.with_columns(_scalar_text(rows["value"].alias(column.name), path).alias("value")).drop_nulls()
    torn = rows["value"].filter(rows["value"].str.contains(separator, literal=True))
    if len(torn):
        raise UserError(
            f"{path}: column {shown(column.name)}: {torn[0]!r} in a list holds the separator {separator!r} of its "
            "field; give the field another one"
        )
    joined = rows.group_by("row", maintain_order=True).agg(pl.col("value").str.join(separator))
    text = pl.Series(column.name, [None], dtype=pl.String).new_from_index(0, len(column))
    return text.scatter(joined["row"], joined["value"])


def warn_of_rounded(column: pl.Series, path: Path, warned: set[str]) -> None:
    """Warns once per column that floats beyond 2^53 may be rounded integers: two ids may have become one."""
    kind = column.dtype.inner if isinstance(column.dtype, pl.List) else column.dtype
    if column.name in warned or not kind.is_float():
        return
    values = column.explode() if isinstance(column.dtype, pl.List) else column
    largest = cast(float | None, values.abs().max())
    if largest is not None and largest >= _LARGEST_EXACT:
        warned.add(column.name)
        logging.warning(
            "%s: column %s holds floats beyond 2^53, where neighbouring integers become the same float; write ids "
            "as integers or text",
            path, shown(column.name),
        )  # fmt: skip


def _scalar_text(column: pl.Series, path: Path) -> pl.Series:
    kind = column.dtype
    if kind.is_float():
        return float_texts(column)
    if isinstance(kind, pl.Datetime):
        return column.dt.to_string("%Y-%m-%d %H:%M:%S%.f" + ("%:z" if kind.time_zone else ""))
    if isinstance(kind, pl.Time):
        return column.dt.to_string("%H:%M:%S%.f")
    try:
        text = column.cast(pl.String)
    except pl.exceptions.PolarsError:
        raise UserError(
            f"{path}: column {shown(column.name)} of type {kind} is not valid UTF-8 text; write it as text"
        ) from None
    return text.str.replace(ZEROS, "") if kind.is_decimal() else text
