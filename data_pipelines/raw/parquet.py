"""Parquet files as chunks of checked rows of text."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet

from data_pipelines.errors import UserError
from data_pipelines.fields.columns import coded
from data_pipelines.raw.validation import BadRow, without_bad_values

_BYTES_A_ROW = 256
"""A guess, for reading about as much at once as of text files."""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[pyarrow.parquet.ParquetFile]:
    """Opens a file; damage in it, then or later, is a UserError."""
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            yield file
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path}: not a readable Parquet file ({error}); fetch the file again") from None


def read_parquet(
    path: Path, kinds: Mapping[str, Sequence[str]], separators: Mapping[str, str], chunk_bytes: int
) -> Iterator[tuple[pa.RecordBatch, np.ndarray, list[BadRow], float]]:
    """Yields (good rows as `columns.coded`, which rows they are, the bad ones, share of the file read).

    Values become text as Polars writes them (12, 1.5, true, 2014-10-21 23:00:00); null is "". A list becomes its
    values joined by the column's separator.

    Args:
        path: the file.
        kinds: the columns to read, each with the kinds of text it must hold.
        separators: of the columns of multi-valued fields.
        chunk_bytes: about what to hold at once.

    Raises:
        UserError: the file is damaged, or a column is of a type that is no text.
    """
    with opened(path) as file:
        rows, done = max(file.metadata.num_rows, 1), 0
        for batch in file.iter_batches(max(chunk_bytes // _BYTES_A_ROW, 1), columns=list(kinds)):
            frame = pl.DataFrame(pl.from_arrow(batch))
            columns = coded({name: _text(frame[name], path, separators.get(name)) for name in kinds})
            columns, good, problems = without_bad_values(columns, kinds)
            done += len(good)
            yield columns, good, [BadRow(i, i, problems[i]) for i in sorted(problems)], done / rows


def _text(column: pl.Series, path: Path, separator: str | None) -> pl.Series:
    try:
        if isinstance(column.dtype, pl.List | pl.Array):
            if separator is None:
                raise UserError(
                    f"{path}: column {column.name} holds lists; make it a multi-valued field with a separator"
                )
            return column.cast(pl.List(pl.String)).list.join(separator)
        return column.cast(pl.String)
    except pl.exceptions.PolarsError as error:
        raise UserError(f"{path}: column {column.name} of type {column.dtype} is no text ({error})") from None
