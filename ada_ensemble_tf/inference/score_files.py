"""Files of scores: CSV, compressed CSV or Parquet, by their names, in memory that does not grow with the rows."""

import contextlib
import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, cast

import polars as pl
import pyarrow.parquet

from data_pipelines.errors import UserError, is_disk_full
from data_pipelines.output import complete_file

ROW_GROUP = 1 << 17
"""Rows that are written to a Parquet file at once."""


@contextlib.contextmanager
def score_file(out: str | Path) -> Iterator[Callable[[pl.DataFrame], None]]:
    """Yields a function that appends rows; all calls give the same columns.

    Args:
        out: the file, which appears once it is complete; a pipe or device receives the rows as they come. A name that
            ends with .parquet gives Parquet, .gz gives gzip-compressed CSV, and any other CSV.

    Raises:
        UserError: the name asks for compressed Parquet, or the disk is full.
    """
    endings = "".join(Path(out).suffixes[-2:]).lower()
    if endings == ".parquet.gz":
        raise UserError(f"--out={out}: Parquet files compress their columns themselves; end the name with .parquet")
    try:
        with complete_file(out, "wb") as file, contextlib.ExitStack() as opened:
            if endings.endswith(".parquet"):
                rows: _ParquetRows | _CsvRows = opened.enter_context(_ParquetRows(file))
            elif endings.endswith(".gz"):
                # Without the time and the temporary file's name, so that equal scores are equal files.
                packed = opened.enter_context(gzip.GzipFile("", "wb", fileobj=file, mtime=0))
                rows = _CsvRows(cast(IO[bytes], packed))
            else:
                rows = _CsvRows(file)
            yield rows.add
    except BaseException as error:
        if is_disk_full(error):
            raise UserError(f"{out}: the disk is full; free some space or choose another --out") from error
        raise


class _CsvRows:
    def __init__(self, file: IO[bytes]):
        self._file, self._header = file, True

    def add(self, frame: pl.DataFrame) -> None:
        frame.write_csv(self._file, include_header=self._header)
        self._header = False


class _ParquetRows:
    def __init__(self, file: IO[bytes]):
        self._file = file
        self._writer: pyarrow.parquet.ParquetWriter | None = None
        self._waiting: list[pl.DataFrame] = []

    def __enter__(self) -> "_ParquetRows":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._write()
        if self._writer is not None:
            self._writer.close()

    def add(self, frame: pl.DataFrame) -> None:
        self._waiting.append(frame)
        if sum(map(len, self._waiting)) >= ROW_GROUP:
            self._write()

    def _write(self) -> None:
        if not self._waiting:
            return
        table = pl.concat(self._waiting).to_arrow()
        self._writer = self._writer or pyarrow.parquet.ParquetWriter(self._file, table.schema)
        self._writer.write_table(table)
        self._waiting = []
