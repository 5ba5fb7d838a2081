"""Reading raw logs: files -> chunks of checked rows, in memory that does not grow with the files.

A raw row is good or bad by itself; every bad row is reported with file, 1-based line number, field and
value.
"""

import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from data_pipelines.errors import UserError
from data_pipelines.fields.columns import codes, distinct
from data_pipelines.fields.declarations import Input, RawFormat, column_kinds
from data_pipelines.fields.kinds import LARGEST_WEIGHT, Kind
from data_pipelines.fields.labels import label_values, way_to_declare
from data_pipelines.fields.readings import Reading, read
from data_pipelines.fields.rules import numbers
from data_pipelines.fields.schema import Field
from data_pipelines.raw.advice import way_to_read
from data_pipelines.raw.clicks import ClickLog
from data_pipelines.raw.headers import check_layouts, read_layout
from data_pipelines.raw.lines import CHUNK_BYTES, FilePart, read_lines
from data_pipelines.raw.parquet import read_parquet
from data_pipelines.raw.validation import BadRow, Problem, parse_rows

_SHOWN_BAD_ROWS = 5
FEW_BAD = 0.2
"""Leaving bad rows out is suggested only up to this share of bad rows."""
_WEIGHT = Kind("weight", Reading(trim=True))


@dataclasses.dataclass(frozen=True)
class RawChunk:
    """Consecutive good rows of a raw log.

    Attributes:
        columns: the log's own text in the columns that fields read (see `columns.coded`); "" is missing.
        label: uint8 [n], or None where the log has no labels.
        row_numbers: int64 [n], each row's number over all rows of all files in order. Bad rows have a
            number too, so that the numbers of the others do not depend on them.
        bytes_read: bytes of all files (as stored) consumed so far.
        path: the file that the rows are of.
        weight: float32 [n], or None where rows have no weights or no labels.
    """

    columns: pa.RecordBatch
    label: np.ndarray | None
    row_numbers: np.ndarray
    bytes_read: int
    path: Path
    weight: np.ndarray | None = None


class RawReader:
    """Iterates over the `RawChunk`s of raw files; may be iterated again.

    Args:
        raw_format: how the files look; a Parquet file is read as Parquet, whatever the other files are.
        fields: what to read from them.
        files: plain or compressed text, or Parquet; read in this order.
        max_bad_rows: leave out and count up to this many bad rows over all files.
        label: "required" or "ignored". If ignored, the label column may be missing (as in Kaggle's test.txt) or hold
            anything.
        chunk_bytes: bytes of text parsed at once.
        clicks: identifies the positives of a format that has a `click_key` instead of a label column.
        first_row: number of the first row.
        on_bad_row: called with each bad row, as "file:line: problem"; no number of bad rows then raises an error.
        also: more columns to read, each with the kind of text that it must hold.

    Attributes:
        has_label: whether the rows have labels.
        bad_rows: bad rows left out by the last pass so far.
        rows: rows seen by the last pass so far, including bad ones.
        total_bytes: size of all files, as stored.
        way_to_declare: what to write into the schema file so that the first bad labels or values of the last pass can
            be read; "" if nothing would help.

    Raises:
        UserError: a file is missing or empty, lacks a column, has other columns than the first file, is a damaged
            compressed file, or is neither text nor Parquet; while iterating, a row is bad.
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
        also: Mapping[str, str | Kind] | None = None,
    ):
        if label not in ("required", "ignored"):
            raise ValueError(f"label should be 'required' or 'ignored', got {label!r}")
        if max_bad_rows < 0:
            raise UserError(f"--max_bad_rows should be at least 0, got {max_bad_rows}")
        if not files:
            raise UserError("no raw file given")
        self._format, self._fields, self._max_bad_rows = raw_format, fields, max_bad_rows
        self._parts = [part if isinstance(part, FilePart) else FilePart(Path(part)) for part in files]
        self._chunk_bytes, self._clicks, self._first_row = chunk_bytes, clicks, first_row
        self._on_bad_row, self._ignores_label = on_bad_row, label == "ignored"
        self.total_bytes = sum((p.end or p.path.stat().st_size) - p.start for p in self._parts if p.path.is_file())
        self.bad_rows = self.rows = 0
        self.way_to_declare = ""
        kinds = column_kinds(fields)
        for name, kind in (also or {}).items():
            kinds[name] = tuple(dict.fromkeys((*kinds.get(name, ()), kind)))
        self._label_is_read = raw_format.label in kinds
        self._weight = "" if self._ignores_label else raw_format.weight
        if self._weight:
            kinds[self._weight] = (*kinds.get(self._weight, ()), _WEIGHT)
        columns = list(kinds)
        if raw_format.click_key:
            if label == "required" and clicks is None:
                raise UserError(f"{raw_format.name}: the labels are in the click logs; name them with --clicks")
            self.has_label = clicks is not None
            kinds |= {name: kinds.get(name, ("text",)) for name in raw_format.click_key} if self.has_label else {}
        else:
            self.has_label = not self._ignores_label
            kinds |= {raw_format.label: (*kinds.get(raw_format.label, ()), "label")} if self.has_label else {}
        paths = list(dict.fromkeys(part.path for part in self._parts))
        layouts = {path: read_layout(path, raw_format, list(kinds), self._ignores_label) for path in paths}
        check_layouts(layouts, raw_format, columns, self._ignores_label)
        self._layouts, self._kinds = layouts, kinds

    def __iter__(self) -> Iterator[RawChunk]:
        """Yields chunks. Raises UserError at the first bad row beyond `max_bad_rows`."""
        self.bad_rows, self.rows, self.way_to_declare, done = 0, 0, "", 0
        empty = None
        for part in self._parts:
            rows_before = self.rows
            is_parquet = self._layouts[part.path].raw_format.is_parquet
            for columns, good, bytes_read in self._parquet(part) if is_parquet else self._text(part):
                numbers = np.flatnonzero(good) + self.rows + self._first_row
                self.rows += len(good)
                label = self._label(columns)
                yield RawChunk(
                    columns.select([n for n in columns.schema.names if n != self._format.label or self._label_is_read]),
                    label,
                    numbers,
                    done + bytes_read,
                    part.path,
                    self._weights(columns),
                )
            if self.rows == rows_before:
                empty = empty or part.path
            done += (part.end or part.path.stat().st_size) - part.start
        # Programs that write part files may leave some of them without rows.
        if empty and not self.rows:
            raise UserError(f"{empty}: has a header but no rows; remove it from --raw")
        if self.bad_rows:
            logging.warning("left out %d bad rows of %d", self.bad_rows, self.rows)

    def _text(self, part: FilePart) -> Iterator[tuple[pa.RecordBatch, np.ndarray, int]]:
        layout = self._layouts[part.path]
        raw_format = layout.raw_format
        for chunk in read_lines(part, raw_format, raw_format.has_header, self._chunk_bytes):
            columns, good, bad = parse_rows(chunk.data, layout.names, self._kinds, raw_format)
            way_out = self._way_out(columns, good, bad, "line")
            for row in bad:
                self._report(f"{part.path}:{chunk.first_line + row.line}", row, way_out)
            yield columns, good, chunk.bytes_read

    def _parquet(self, part: FilePart) -> Iterator[tuple[pa.RecordBatch, np.ndarray, int]]:
        separators = {field.column: field.separator for field in self._fields if field.separator}
        first = 1
        chunks = read_parquet(part.path, self._kinds, separators, self._chunk_bytes, self._format)
        for columns, good, bad, share in chunks:
            way_out = self._way_out(columns, good, bad, "row")
            for row in bad:
                self._report(f"{part.path}: row {first + row.index}", row, way_out)
            first += len(good)
            yield columns, good, int(share * part.path.stat().st_size)

    def _label(self, columns: pa.RecordBatch) -> np.ndarray | None:
        if not self.has_label:
            return None
        if self._clicks is not None:
            return self._clicks.label(columns)
        known = distinct(columns, self._format.label)
        # Texts of rows that were left out are still among the distinct ones.
        values = label_values(known, self._format).clip(0).astype(np.uint8)
        return values[codes(columns, self._format.label)]

    def _weights(self, columns: pa.RecordBatch) -> np.ndarray | None:
        if not self._weight:
            return None
        # Texts of rows that were left out are still among the distinct ones.
        known = np.nan_to_num(numbers(read(distinct(columns, self._weight), _WEIGHT.reading)))
        return np.clip(known, 0, LARGEST_WEIGHT).astype(np.float32)[codes(columns, self._weight)]

    def _way_out(self, columns: pa.RecordBatch, good: np.ndarray, bad: Sequence[BadRow], what: str) -> str:
        """What to do about the row that exceeds the bound on bad rows, if it is in this chunk."""
        if not bad:
            return ""
        if self._ignores_label:
            return f"fix the {what} or take it out"
        # The row that ends reading, if it is in this chunk; no row ends a pass that only reports bad rows.
        deciding = 0 if self._on_bad_row else self._max_bad_rows - self.bad_rows
        if deciding >= len(bad):
            return ""
        found, rows, bound = self.bad_rows + len(bad), self.rows + len(good), self._max_bad_rows
        few, tabular = found <= FEW_BAD * rows, self._format.name == "tabular"
        ways = [f"fix the {what}", f"raise --max_bad_rows={bound}" if bound else "allow it with --max_bad_rows"]
        if tabular and not self.way_to_declare:
            self.way_to_declare = self._advice(columns, bad[deciding].problem)
        if self.way_to_declare:
            ways = [*ways, self.way_to_declare] if few else [self.way_to_declare]
        elif not few:
            is_right = "the schema says what the file holds" if tabular else f"this is a {self._format.name} log"
            ways = [ways[0], f"see whether {is_right}: {found:,} of {rows:,} rows are bad so far"]
        return ", or ".join(ways) if len(ways) != 2 else " or ".join(ways)

    def _advice(self, columns: pa.RecordBatch, problem: Problem) -> str:
        if not problem.column:
            return ""
        # Texts of rows that were left out are still among the distinct ones.
        known = distinct(columns, problem.column)
        if problem.kind == "label":
            return way_to_declare(known, self._format)
        return way_to_read(problem.value, problem.kind, known)

    def _report(self, place: str, row: BadRow, way_out: str) -> None:
        self.bad_rows += 1
        if self._on_bad_row is not None:
            self._on_bad_row(f"{place}: {row.problem.text}")
            return
        if self.bad_rows > self._max_bad_rows:
            raise UserError(f"{place}: {row.problem.text}; {way_out}")
        if self.bad_rows <= _SHOWN_BAD_ROWS:
            logging.warning("bad row left out: %s: %s", place, row.problem.text)
