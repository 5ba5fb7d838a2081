"""Reading raw logs: files -> chunks of checked rows, in memory that does not grow with the files.

A raw line is good or bad by itself; every bad line is reported with file, 1-based line number, field and
value.
"""

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from data_pipelines.errors import DataError
from data_pipelines.lines import CHUNK_BYTES, LineChunk, read_lines
from data_pipelines.raw_format import RawFormat
from data_pipelines.validation import BadLine, parse_lines

_SHOWN_BAD_LINES = 5
_FIRST_LINE_BYTES = 1 << 16


@dataclasses.dataclass(frozen=True)
class RawChunk:
    """Consecutive good rows of a raw log.

    Attributes:
        frame: the log's own text, all columns String, "" is missing; with the label column unless the log has
            none.
        row_numbers: int64 [n], each row's number over all data lines of all files in order. Bad lines have a
            number too, so that the numbers of the others do not depend on them.
        bytes_read: bytes of all files (as stored) consumed so far.
    """

    frame: pl.DataFrame
    row_numbers: np.ndarray
    bytes_read: int


class RawReader:
    """Iterates over the `RawChunk`s of raw files; may be iterated again.

    Attributes:
        has_label: whether the rows carry the label column.
        bad_rows: bad lines left out by the last pass so far.
        total_bytes: size of all files, as stored.
    """

    def __init__(
        self,
        raw_format: RawFormat,
        files: Sequence[str | Path],
        max_bad_rows: int = 0,
        label: str = "required",
        chunk_bytes: int = CHUNK_BYTES,
    ):
        if label not in ("required", "optional"):
            raise ValueError(f"label should be 'required' or 'optional', got {label!r}")
        if max_bad_rows < 0:
            raise DataError(f"--max_bad_rows should be at least 0, got {max_bad_rows}")
        if not files:
            raise DataError("no raw file given")
        self._format, self._files, self._max_bad_rows = raw_format, [Path(f) for f in files], max_bad_rows
        self._chunk_bytes, self._label_optional = chunk_bytes, label == "optional"
        for file in self._files:
            if not file.is_file():
                raise DataError(f"{file}: raw file not found")
        self.total_bytes = sum(file.stat().st_size for file in self._files)
        self.bad_rows = 0
        layouts = [self._layout(file) for file in self._files]
        with_label = [raw_format.label in layout for layout in layouts]
        if len(set(with_label)) > 1:
            lacking = self._files[with_label.index(False)]
            raise DataError(f"{lacking}: has no column {raw_format.label}, while other files have; read them apart")
        self.has_label = with_label[0]
        self._layouts = layouts

    def __iter__(self) -> Iterator[RawChunk]:
        """Yields chunks. Raises DataError at the first bad line beyond `max_bad_rows`."""
        self.bad_rows, row, done = 0, 0, 0
        for file, layout in zip(self._files, self._layouts, strict=True):
            names = [name for name in self._wanted() if name in layout]
            chunk = None
            for chunk in read_lines(file, self._format.has_header, self._chunk_bytes):
                frame, good, bad = parse_lines(chunk.data, layout, self._format)
                self._report(file, chunk, bad)
                numbers = np.flatnonzero(good) + row
                row += len(good)
                yield RawChunk(frame.select(names), numbers, done + chunk.bytes_read)
            if chunk is None:
                raise DataError(f"{file}: has a header but no rows; remove it from --raw")
            done += file.stat().st_size
        if self.bad_rows:
            logging.warning("left out %d bad lines of %d", self.bad_rows, row)

    def _wanted(self) -> list[str]:
        return [self._format.label] + [column.name for column in self._format.columns]

    def _layout(self, file: Path) -> list[str]:
        """Column names of a file's lines, from its first line."""
        first = next(read_lines(file, False, _FIRST_LINE_BYTES), None)
        if first is None:
            raise DataError(f"{file}: the file is empty; remove it from --raw")
        line = first.data[: first.data.index(b"\n")].decode("utf-8", "replace")
        found = line.split(self._format.delimiter)
        names = self._wanted()
        if self._format.has_header:
            required = names[1:] if self._label_optional else names
            missing = [name for name in required if name not in found]
            if missing:
                raise DataError(f"{file}:1: the header has no column {missing[0]}; is this a {self._format.name} log?")
            return found
        if self._label_optional and len(found) == len(names) - 1:
            return names[1:]
        return names

    def _report(self, file: Path, chunk: LineChunk, bad: list[BadLine]) -> None:
        for line in bad:
            place = f"{file}:{chunk.first_line + line.index}"
            self.bad_rows += 1
            if self.bad_rows > self._max_bad_rows:
                way_out = (
                    f"raise --max_bad_rows={self._max_bad_rows}"
                    if self._max_bad_rows
                    else ("allow it with --max_bad_rows")
                )
                raise DataError(f"{place}: {line.problem}; fix the line or {way_out}")
            if self.bad_rows <= _SHOWN_BAD_LINES:
                logging.warning("bad line left out: %s: %s", place, line.problem)


def read_raw(
    raw_format: RawFormat,
    files: Sequence[str | Path],
    max_bad_rows: int = 0,
    label: str = "required",
    chunk_bytes: int = CHUNK_BYTES,
) -> RawReader:
    """Reads raw files (plain or gzip) as chunks of checked rows.

    Args:
        raw_format: the format, see `formats.FORMATS`.
        files: read in this order.
        max_bad_rows: leave out and count up to so many bad lines over all files.
        label: "required", or "optional" for logs that may lack the label column (Kaggle's test.txt); the
            first line tells.
        chunk_bytes: text parsed at once.

    Returns:
        An iterable of `RawChunk`, which may be iterated again.

    Raises:
        DataError: a file is missing or empty, lacks a column, or is a truncated gzip file; while iterating, a
            line is bad.
    """
    return RawReader(raw_format, files, max_bad_rows, label, chunk_bytes)
