"""Checked rows on disk between counting and encoding, so that text is parsed once.

Each chunk of rows is an Arrow file. It stores columns as distinct texts and codes, in a fraction of the text's size.

The spool and the buckets are scratch space without checksums. No other run, machine or person reads them, so they are
trusted as memory is. The record files, which remain, have checksums. Only the number of rows read back is checked.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from data_pipelines.fields.columns import compact
from data_pipelines.raw import RawChunk

_LABEL, _ROW = "\nlabel", "\nrow"
"""Names that no column of a raw log has."""


class Spool:
    """Chunks of rows in a directory, in order.

    Args:
        directory: holds the chunks' files; created if needed.
    """

    def __init__(self, directory: Path):
        directory.mkdir(exist_ok=True)
        self._directory, self._chunks = directory, 0

    def write(self, chunk: RawChunk) -> None:
        """Adds a chunk of labelled rows."""
        columns = compact(chunk.columns)
        arrays = [*columns.columns, pa.array(chunk.label), pa.array(chunk.row_numbers)]
        batch = pa.RecordBatch.from_arrays(arrays, names=[*columns.schema.names, _LABEL, _ROW])
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        path = self._directory / f"{self._chunks:08d}.arrow"
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, batch.schema, options=options) as writer:
            writer.write_batch(batch)
        self._chunks += 1

    def __iter__(self) -> Iterator[tuple[pa.RecordBatch, np.ndarray, np.ndarray]]:
        """Yields (columns, label uint8 [n], row numbers int64 [n])."""
        for path in sorted(self._directory.glob("*.arrow")):
            with pa.OSFile(str(path), "rb") as file:
                batch = pa.ipc.open_file(file).get_batch(0)
            columns = batch.drop_columns([_LABEL, _ROW])
            yield columns, batch.column(_LABEL).to_numpy(), batch.column(_ROW).to_numpy()
