"""Cuts raw files into parts that can be read independently, and numbers the first row of each part."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_pipelines.errors import UserError
from data_pipelines.fields.declarations import RawFormat
from data_pipelines.raw.containers import is_compressed, is_parquet
from data_pipelines.raw.lines import FilePart, count_lines, read_lines
from data_pipelines.raw.parquet import opened
from data_pipelines.raw.quoting import record_ends

PART_BYTES = 64 << 20
_LINE_BYTES = 1 << 16


@dataclasses.dataclass(frozen=True)
class NumberedPart:
    """A part and the number of its first row over all rows of all files."""

    part: FilePart
    first_row: int


def cut(files: Sequence[Path], raw_format: RawFormat, part_bytes: int = PART_BYTES) -> list[FilePart]:
    """Parts of about `part_bytes`, in order; their first lines are not known yet.

    Compressed files, Parquet files and text with quotes (where a line end need not end a row) stay whole. Raises
    UserError for a text file in a log that is declared as Parquet, because its delimiter is unknown.
    """
    parts = []
    for path in files:
        if raw_format.is_parquet and not is_parquet(path):
            raise UserError(
                f"{path}: not a Parquet file; for --engine=spark, declare its format in the schema, "
                'such as "file": {"format": "csv"}'
            )
        if raw_format.quoted or is_parquet(path) or is_compressed(path):
            parts.append(FilePart(path))
            continue
        size = path.stat().st_size
        starts = [0, *(start for at in range(part_bytes, size, part_bytes) if (start := _line_start(path, at)) < size)]
        starts = sorted(set(starts))
        parts += [FilePart(path, start, end) for start, end in zip(starts, [*starts[1:], size], strict=True)]
    return parts


def count_rows(part: FilePart, raw_format: RawFormat) -> tuple[int, int]:
    """(lines, rows, good or bad) of a part; a header counts as a line but not as a row."""
    if is_parquet(part.path):
        with opened(part.path) as file:
            return 0, file.metadata.num_rows
    if not raw_format.quoted and not is_compressed(part.path):
        lines = count_lines(part)
        return lines, lines - (raw_format.has_header and part.start == 0)
    rows = 0
    for chunk in read_lines(part, raw_format, raw_format.has_header):
        rows += len(record_ends(np.frombuffer(chunk.data, np.uint8), raw_format.quoted))
    return 0, rows


def numbered(parts: Sequence[FilePart], counts: Sequence[tuple[int, int]]) -> list[NumberedPart]:
    """The parts with their first lines and rows; `counts` come from `count_rows`."""
    found, row, line = [], 0, 1
    for part, (lines, rows) in zip(parts, counts, strict=True):
        line = 1 if part.start == 0 else line
        found.append(NumberedPart(dataclasses.replace(part, first_line=line), row))
        row, line = row + rows, line + lines
    return found


def _line_start(path: Path, at: int) -> int:
    """The position of the first byte at or after `at` that begins a line."""
    with path.open("rb") as file:
        file.seek(at - 1)
        while read := file.read(_LINE_BYTES):
            found = read.find(b"\n")
            if found >= 0:
                return file.tell() - len(read) + found + 1
    return path.stat().st_size
