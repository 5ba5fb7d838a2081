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
from data_pipelines.fields.declarations import RawFormat
from data_pipelines.fields.kinds import Kind
from data_pipelines.raw.parquet_text import check_types, column_text, warn_of_rounded
from data_pipelines.raw.validation import BadRow, without_bad_values

_BYTES_A_ROW = 256
"""A guess, so that about as much is read at once as from text files."""
_BARE = RawFormat("", "")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[pyarrow.parquet.ParquetFile]:
    """Opens a file; damage found then or later becomes a UserError."""
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            yield file
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path}: not a readable Parquet file ({error}); fetch the file again") from None


def read_parquet(
    path: Path,
    kinds: Mapping[str, Sequence[str | Kind]],
    separators: Mapping[str, str],
    chunk_bytes: int,
    raw_format: RawFormat = _BARE,
) -> Iterator[tuple[pa.RecordBatch, np.ndarray, list[BadRow], float]]:
    """Yields (good rows as `columns.coded`, which rows they are, the bad rows, share of the file read).

    `parquet_text` says how values become text; null is "". A list becomes its values joined by the column's separator.

    Args:
        path: the file.
        kinds: the columns to read, each with the kinds of text it must hold.
        separators: the separators of the columns of multi-valued fields.
        chunk_bytes: about how much to hold in memory at once.
        raw_format: says what counts as a label.

    Raises:
        UserError: the file is damaged, or the type of a column has no form as text.
    """
    with opened(path) as file:
        check_types(file.schema_arrow, list(kinds), separators, path)
        warned: set[str] = set()
        rows, done = max(file.metadata.num_rows, 1), 0
        for batch in file.iter_batches(max(chunk_bytes // _BYTES_A_ROW, 1), columns=list(kinds)):
            frame = pl.DataFrame(pl.from_arrow(batch))
            for name in kinds:
                if "text" in kinds[name]:
                    warn_of_rounded(frame[name], path, warned)
            columns = coded({name: column_text(frame[name], path, separators.get(name)) for name in kinds})
            columns, good, problems = without_bad_values(columns, kinds, raw_format)
            done += len(good)
            yield columns, good, [BadRow(i, i, problems[i]) for i in sorted(problems)], done / rows
