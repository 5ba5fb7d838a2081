"""Labels from a second log: an impression whose key is in the click log was clicked."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from data_pipelines.errors import UserError
from data_pipelines.fields.columns import texts
from data_pipelines.fields.declarations import Input, RawFormat

_BETWEEN = "\t"
"""Joins the columns of a key; no value in a tab-separated log contains it."""


class ClickLog:
    """The keys of all clicks, in memory: clicks are few."""

    def __init__(self, keys: pl.Series, key_columns: Sequence[str]):
        self._keys, self._key_columns = keys, tuple(key_columns)

    @classmethod
    def read(cls, files: Sequence[str | Path], raw_format: RawFormat) -> "ClickLog":
        """Reads click logs, which have the format of the impressions. Raises UserError as `RawReader` does."""
        from data_pipelines.raw import RawReader

        inputs = [Input(name, name) for name in raw_format.click_key]
        chunks = RawReader(raw_format, inputs, files, label="ignored")
        keys = pl.concat([_keys(chunk.columns, raw_format.click_key) for chunk in chunks])
        return cls(keys.unique(), raw_format.click_key)

    def label(self, columns: pa.RecordBatch) -> np.ndarray:
        """uint8 [n]: 1 where a row's key is among the clicks."""
        return _keys(columns, self._key_columns).is_in(self._keys.implode()).to_numpy().astype(np.uint8)


def read_clicks(files: Sequence[str | Path], raw_format: RawFormat) -> ClickLog | None:
    """The clicks, or None without files. Raises UserError if files are given and the format has labels."""
    if files and not raw_format.click_key:
        raise UserError(f"--clicks: {raw_format.name} has a label column; leave the click logs out")
    return ClickLog.read(files, raw_format) if files else None


def _keys(columns: pa.RecordBatch, names: Sequence[str]) -> pl.Series:
    frame = texts(columns.select(list(names)))
    return frame.select(pl.concat_str(list(names), separator=_BETWEEN).alias("key")).to_series()
