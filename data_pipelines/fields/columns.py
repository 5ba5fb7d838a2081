"""Columns of raw text, each stored as its distinct texts and one code per row.

Everything that depends only on a value's text (whether it is readable, its level, its id) is computed once per distinct
text of a chunk, not once per row.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import polars as pl
import pyarrow as pa

THREADS = ThreadPoolExecutor(thread_name_prefix="columns")


def coded(columns: Mapping[str, Sequence[str] | pl.Series | pa.Array | pa.ChunkedArray]) -> pa.RecordBatch:
    """Columns of text, [n] each, as dictionary arrays; null becomes ""."""
    arrays = list(THREADS.map(_coded, columns.values()))
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))


def distinct(columns: pa.RecordBatch, name: str) -> pl.Series:
    """The distinct texts of a column [d], String."""
    return pl.Series(name, pl.from_arrow(columns.column(name).dictionary), pl.String)


def codes(columns: pa.RecordBatch, name: str) -> np.ndarray:
    """Each row's position in `distinct`: integers [n]."""
    return columns.column(name).indices.to_numpy()


def texts(columns: pa.RecordBatch) -> pl.DataFrame:
    """The rows as plain text, all columns String."""
    return pl.DataFrame({name: distinct(columns, name).gather(codes(columns, name)) for name in columns.schema.names})


def compact(columns: pa.RecordBatch) -> pa.RecordBatch:
    """The same columns with the narrowest integer codes that fit, for storage."""
    arrays = []
    for array in columns.columns:
        kind = _smallest(len(array.dictionary))
        arrays.append(pa.DictionaryArray.from_arrays(array.indices.cast(kind), array.dictionary))
    return pa.RecordBatch.from_arrays(arrays, names=columns.schema.names)


def _coded(column: Sequence[str] | pl.Series | pa.Array | pa.ChunkedArray) -> pa.DictionaryArray:
    if isinstance(column, pl.Series):
        column = column.to_arrow()
    if not isinstance(column, pa.Array | pa.ChunkedArray):
        column = pa.array(column, pa.string())
    array = column.cast(pa.large_string() if column.nbytes > 2**30 else pa.string())
    if array.null_count:
        array = array.fill_null("")
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks() if array.num_chunks != 1 else array.chunk(0)
    return array.dictionary_encode()


@cache
def _smallest(levels: int) -> pa.DataType:
    return next(kind for kind, room in ((pa.int8(), 2**7), (pa.int16(), 2**15), (pa.int32(), 2**31)) if levels <= room)
