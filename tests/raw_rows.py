"""Writing raw files, and reading them row by row."""

import numpy as np

from data_pipelines.fields.columns import texts


def write(path, lines, end="\n"):
    """Writes lines to `path` and returns it."""
    path.write_bytes(end.join(lines).encode("utf-8", "surrogateescape") + end.encode())
    return path


def rows_of(reader):
    """(texts of all rows with the label first, their row numbers) of a reader."""
    chunks = list(reader)
    rows = []
    for chunk in chunks:
        found = texts(chunk.columns).rows()
        rows += found if chunk.label is None else [(str(y), *row) for y, row in zip(chunk.label, found, strict=True)]
    return rows, np.concatenate([chunk.row_numbers for chunk in chunks]).tolist()
