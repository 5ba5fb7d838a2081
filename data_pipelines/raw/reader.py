"""Reading raw logs: files -> chunks of checked rows, in memory that does not grow with the files.

A raw row is good or bad by itself; every bad row is reported with file, 1-based line number, field and
value.
"""

import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from data_pipelines.errors import UserError
from data_pipelines.fields.columns import codes, distinct
from data_pipelines.fields.declarations import Input, RawFormat, column_kinds
from data_pipelines.fields.kinds import LABELS
from data_pipelines.fields.schema import Field
from data_pipelines.raw.clicks import ClickLog
from data_pipelines.raw.headers import check_layouts, column_names
from data_pipelines.raw.lines import CHUNK_BYTES, FilePart, read_lines
from data_pipelines.raw.parquet import read_parquet
from data_pipelines.raw.validation import BadRow, parse_rows

_SHOWN_BAD_ROWS = 5


@dataclasses.dataclass(frozen=True)
class RawChunk:
    """Consecutive good rows of a raw log.

    Attributes:
        columns: the log's own text of the columns that fields read (see `columns.coded`), "" is missing.
        label: uint8 [n], or None where the log has no labels.
        row_numbers: int64 [n], each row's number over all rows of all files in order. Bad rows have a
            number too, so that the numbers of the others do not depend on them.
        bytes_read: bytes of all files (as stored) consumed so far.
    """

    columns: pa.RecordBatch
    label: np.ndarray | None
    row_numbers: np.ndarray
    bytes_read: int


class RawReader:
    """Iterates over the `RawChunk`s of raw files; may be iterated again.

    Args:
        raw_format: how the files look.
        fields: what is read of them.
        files: plain, gzip or bzip2 text, or Parquet; read in this order.
        max_bad_rows: leave out and count up to so many bad rows over all files.
        label: "required", or "optional" for logs that may lack the label column (Kaggle's test.txt); the
            first line tells.
        chunk_bytes: text parsed at once.
        clicks: tells the positives of a format that has a `click_key` instead of a label column.
        first_row: number of the first row.
        on_bad_row: is told of each bad row, as "file:line: problem"; then no number of them is an error.

    Attributes:
        has_label: whether the rows have labels.
        bad_rows: bad rows left out by the last pass so far.
        rows: rows seen by the last pass so far, bad ones too.
        total_bytes: size of all files, as stored.

    Raises:
        UserError: a file is missing or empty, lacks a column, has other columns than the first, or is a damaged
            compressed file; while iterating, a row is bad.
    """

    def __init__(
        self,
        raw_format: RawFormat,
        fields: Sequence[Input | Field],
        files: Sequence[str | Path | FilePart],
        max_bad_rows: int = 0,
        label: str = "required",
        chunk_bytes: int = CHUNK_BYTES,
        clicks: ClickLog | None = None,
        first_row: int = 0,
        on_bad_row: Callable[[str], None] | None = None,
    ):
        if label not in ("required", "optional"):
            raise ValueError(f"label should be 'required' or 'optional', got {label!r}")
        if max_bad_rows < 0:
            raise UserError(f"--max_bad_rows should be at least 0, got {max_bad_rows}")
        if not files:
            raise UserError("no raw file given")
        self._format, self._fields, self._max_bad_rows = raw_format, fields, max_bad_rows
        self._parts = [part if isinstance(part, FilePart) else FilePart(Path(part)) for part in files]
        self._chunk_bytes, self._clicks, self._first_row = chunk_bytes, clicks, first_row
        self._on_bad_row = on_bad_row
        self.total_bytes = sum((p.end or p.path.stat().st_size) - p.start for p in self._parts if p.path.is_file())
        self.bad_rows = self.rows = 0
        paths = list(dict.fromkeys(part.path for part in self._parts))
        layouts = {path: column_names(path, raw_format, label == "optional") for path in paths}
        kinds = column_kinds(fields)
        if raw_format.click_key:
            if label == "required" and clicks is None:
                raise UserError(f"{raw_format.name}: the labels are in the click logs; name them with --clicks")
            self.has_label = clicks is not None
            kinds |= {name: kinds.get(name, ("text",)) for name in raw_format.click_key} if self.has_label else {}
        else:
            self.has_label = check_layouts(layouts, raw_format, list(kinds), label == "optional")
            kinds |= {raw_format.label: ("label",)} if self.has_label else {}
        self._layouts, self._kinds = layouts, kinds

    def __iter__(self) -> Iterator[RawChunk]:
        """Yields chunks. Raises UserError at the first bad row beyond `max_bad_rows`."""
        self.bad_rows, self.rows, done = 0, 0, 0
        for part in self._parts:
            rows_before = self.rows
            for columns, good, bytes_read in self._parquet(part) if self._format.is_parquet else self._text(part):
                numbers = np.flatnonzero(good) + self.rows + self._first_row
                self.rows += len(good)
                label = self._label(columns)
                yield RawChunk(
                    columns.select([n for n in columns.schema.names if n != self._format.label or self._reads_label()]),
                    label,
                    numbers,
                    done + bytes_read,
                )
            if self.rows == rows_before:
                raise UserError(f"{part.path}: has a header but no rows; remove it from --raw")
            done += (part.end or part.path.stat().st_size) - part.start
        if self.bad_rows:
            logging.warning("left out %d bad rows of %d", self.bad_rows, self.rows)

    def _text(self, part: FilePart) -> Iterator[tuple[pa.RecordBatch, np.ndarray, int]]:
        layout = self._layouts[part.path]
        for chunk in read_lines(part, self._format, self._format.has_header, self._chunk_bytes):
            columns, good, bad = parse_rows(chunk.data, layout, self._kinds, self._format)
            for row in bad:
                self._report(f"{part.path}:{chunk.first_line + row.line}", row, "fix the line")
            yield columns, good, chunk.bytes_read

    def _parquet(self, part: FilePart) -> Iterator[tuple[pa.RecordBatch, np.ndarray, int]]:
        separators = {field.column: field.separator for field in self._fields if field.separator}
        first = 1
        for columns, good, bad, share in read_parquet(part.path, self._kinds, separators, self._chunk_bytes):
            for row in bad:
                self._report(f"{part.path}: row {first + row.index}", row, "fix the row")
            first += len(good)
            yield columns, good, int(share * part.path.stat().st_size)

    def _label(self, columns: pa.RecordBatch) -> np.ndarray | None:
        if not self.has_label:
            return None
        if self._clicks is not None:
            return self._clicks.label(columns)
        known = distinct(columns, self._format.label)
        # Texts of rows that were left out are still among the distinct ones.
        values = np.array([LABELS.get(text, 0) for text in known], np.uint8)
        return values[codes(columns, self._format.label)]

    def _reads_label(self) -> bool:
        return any(field.column == self._format.label for field in self._fields)

    def _report(self, place: str, row: BadRow, first_way_out: str) -> None:
        self.bad_rows += 1
        if self._on_bad_row is not None:
            self._on_bad_row(f"{place}: {row.problem}")
            return
        if self.bad_rows > self._max_bad_rows:
            way_out = (
                f"raise --max_bad_rows={self._max_bad_rows}" if self._max_bad_rows else "allow it with --max_bad_rows"
            )
            raise UserError(f"{place}: {row.problem}; {first_way_out} or {way_out}")
        if self.bad_rows <= _SHOWN_BAD_ROWS:
            logging.warning("bad row left out: %s: %s", place, row.problem)
