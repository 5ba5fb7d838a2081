"""Checked rows on disk between counting and encoding, so that text is parsed once.

Each chunk of rows is an Arrow file. It stores columns as distinct texts and codes, in a fraction of the text's size.

The spool and the buckets are scratch space without checksums. No other run, machine or person reads them, so they are
trusted as memory is. The record files, which remain, have checksums. Only the number of rows read back is checked.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from data_pipelines.fields.columns import compact
from data_pipelines.raw import RawChunk

_LABEL, _ROW, _KEY, _WEIGHT = "\nlabel", "\nrow", "\nkey", "\nweight"
"""Names that no column of a raw log has."""


@dataclasses.dataclass(frozen=True)
class Rows:
    """Labelled rows.

    Attributes:
        columns: those that fields read.
        label: uint8 [n].
        row_numbers: int64 [n].
        keys: what decides their splits [n], see `splitting.Splitter.keys`.
        weight: float32 [n]; None where rows have no weights.
    """

    columns: pa.RecordBatch
    label: np.ndarray
    row_numbers: np.ndarray
    keys: np.ndarray
    weight: np.ndarray | None = None

    @classmethod
    def of(cls, chunk: RawChunk, keys: np.ndarray) -> "Rows":
        """Those of a chunk with labels."""
        assert chunk.label is not None
        return cls(chunk.columns, chunk.label, chunk.row_numbers, keys, chunk.weight)


class Spool:
    """Chunks of rows in a directory, in order.

    Args:
        directory: holds the chunks' files; created if needed.
        columns: those that fields read; others are not kept.
    """

    def __init__(self, directory: Path, columns: Sequence[str]):
        directory.mkdir(exist_ok=True)
        self._directory, self._columns, self._chunks = directory, columns, 0

    def write(self, rows: Rows) -> None:
        """Adds a chunk of rows."""
        columns = compact(rows.columns.select(list(self._columns)))
        arrays = {_LABEL: rows.label, _ROW: rows.row_numbers, _KEY: rows.keys}
        arrays |= {} if rows.weight is None else {_WEIGHT: rows.weight}
        batch = pa.RecordBatch.from_arrays(
            [*columns.columns, *map(pa.array, arrays.values())], names=[*columns.schema.names, *arrays]
        )
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        path = self._directory / f"{self._chunks:08d}.arrow"
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, batch.schema, options=options) as writer:
            writer.write_batch(batch)
        self._chunks += 1

    def __iter__(self) -> Iterator[Rows]:
        """Yields the chunks."""
        for path in sorted(self._directory.glob("*.arrow")):
            with pa.OSFile(str(path), "rb") as file:
                batch = pa.ipc.open_file(file).get_batch(0)
            arrays = {name: batch.column(name).to_numpy() for name in batch.schema.names if name.startswith("\n")}
            columns = batch.drop_columns(list(arrays))
            yield Rows(columns, arrays[_LABEL], arrays[_ROW], arrays[_KEY], arrays.get(_WEIGHT))
