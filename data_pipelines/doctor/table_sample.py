"""Finds out what kind of table a file is, and takes a sample of its rows as text."""

import csv
import dataclasses
import re
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa

from data_pipelines.errors import UserError
from data_pipelines.fields.columns import texts
from data_pipelines.fields.declarations import RawFormat
from data_pipelines.fields.kinds import NUMBER
from data_pipelines.raw.containers import is_compressed, is_parquet
from data_pipelines.raw.lines import FilePart, read_lines
from data_pipelines.raw.parquet import opened, read_parquet
from data_pipelines.raw.parquet_text import has_text, is_list
from data_pipelines.raw.quoting import stray_quote
from data_pipelines.raw.validation import parse_rows

SAMPLE_ROWS = 100_000
LIST_SEPARATOR = "|"
"""Between the values of a Parquet list."""
_DELIMITERS = {",": "csv", "\t": "tsv", ";": "csv", "|": "csv"}
_CHUNK_BYTES = 8 << 20
_SNIFFED_LINES = 1000
_REGULAR = 0.9
"""Share of lines that a delimiter must split into the same number of values."""


@dataclasses.dataclass(frozen=True)
class TableSample:
    """Rows of a table.

    Attributes:
        file: what a schema file says under "file".
        rows: their text; "" is missing.
        lists: columns of a Parquet file that hold lists, which are joined by `LIST_SEPARATOR`.
        unreadable: columns of a Parquet file that have no text, with their types.
    """

    file: dict[str, Any]
    rows: pl.DataFrame
    lists: tuple[str, ...] = ()
    unreadable: dict[str, str] = dataclasses.field(default_factory=dict)


def sample_table(path: str | Path, max_rows: int = SAMPLE_ROWS) -> TableSample:
    """The first rows of a file; from a large plain text file, also as many from its middle.

    Raises:
        UserError: the file is missing, empty or damaged, has no header, or has no recognisable delimiter.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: raw file not found")
    return _parquet_sample(path, max_rows) if is_parquet(path) else _text_sample(path, max_rows)


def _parquet_sample(path: Path, max_rows: int) -> TableSample:
    with opened(path) as file:
        types = {field.name: field.type for field in file.schema_arrow}
    lists = [name for name, kind in types.items() if is_list(kind) and has_text(kind)]
    flat = [name for name, kind in types.items() if has_text(kind) and not is_list(kind) and not _is_binary(kind)]
    frames, rows = [], 0
    kinds = {name: ("text",) for name in types if name in lists or name in flat}
    for columns, *_ in read_parquet(path, kinds, dict.fromkeys(lists, LIST_SEPARATOR), _CHUNK_BYTES):
        frames.append(texts(columns))
        rows += columns.num_rows
        if rows >= max_rows:
            break
    if not rows:
        raise UserError(f"{path}: the file has no rows")
    unreadable = {name: str(kind) for name, kind in types.items() if name not in kinds}
    return TableSample({"format": "parquet"}, pl.concat(frames).head(max_rows), tuple(lists), unreadable)


def _is_binary(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)


def _text_sample(path: Path, max_rows: int) -> TableSample:
    first = next(read_lines(FilePart(path), RawFormat("", "", delimiter=","), False, _CHUNK_BYTES), None)
    if first is None:
        raise UserError(f"{path}: the file is empty")
    delimiter = _delimiter(first.data, path)
    quotes = np.frombuffer(first.data, np.uint8)
    # Quotes inside values are part of the text. Without any quotes, the format's default holds.
    quoted = b'"' in first.data and stray_quote(quotes, delimiter) is None
    default = _DELIMITERS[delimiter] == "csv"
    quoted = quoted if b'"' in first.data else default
    names = next(csv.reader(_lines(first.data), delimiter=delimiter, quoting=_quoting(quoted)))
    _check_header(names, path)
    raw_format = RawFormat("tabular", "", (), delimiter, True, quoted)
    frames = [_rows(FilePart(path), names, raw_format, max_rows)]
    middle = _middle(path) if frames[0].height == max_rows and b'"' not in first.data else None
    frames += [_rows(middle, names, raw_format, max_rows)] if middle else []
    file: dict[str, Any] = {"format": _DELIMITERS[delimiter]}
    file |= {} if delimiter in ",\t" else {"delimiter": delimiter}
    file |= {} if quoted == default else {"quoted": quoted}
    rows = pl.concat(frames)
    if not rows.height:
        raise UserError(f"{path}: the file has a header but no readable rows")
    return TableSample(file, rows)


def _delimiter(data: bytes, path: Path) -> str:
    """The delimiter that splits most lines into the same number of values; of several, the one that gives the most."""
    best, best_width = "", 1
    for delimiter in _DELIMITERS:
        for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE):
            try:
                widths = Counter(len(row) for row in csv.reader(_lines(data), delimiter=delimiter, quoting=quoting))
            except csv.Error:
                continue
            width, count = widths.most_common(1)[0]
            if count >= _REGULAR * sum(widths.values()) and width > best_width:
                best, best_width = delimiter, width
    if not best:
        raise UserError(f"{path}: no comma, tab, semicolon or bar splits its lines into equally many values")
    return best


def _lines(data: bytes) -> list[str]:
    lines = data.decode("utf-8", "replace").split("\n", _SNIFFED_LINES)
    return [line + "\n" for line in (lines[:-1] if len(lines) > 1 else lines)]


def _quoting(quoted: bool) -> Literal[0, 3]:
    return csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE


def _check_header(names: list[str], path: Path) -> None:
    values = [name for name in names if re.match(NUMBER, name) or len(name) > 100]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if values or (repeated and "" in repeated):
        shown = ", ".join(names[:5])
        raise UserError(
            f"{path}:1: {shown}, ... looks like values, not like a header; give the file a first line that names its "
            'columns, or name them in the schema file: "file": {"columns": [..]} (or is it of a format that has no '
            "header, like --dataset=criteo?)"
        )
    if repeated:
        raise UserError(f"{path}:1: the header names column {repeated[0]!r} twice")


def _rows(part: FilePart, names: list[str], raw_format: RawFormat, max_rows: int) -> pl.DataFrame:
    frames = [pl.DataFrame(schema=dict.fromkeys(names, pl.String))]
    rows = 0
    for chunk in read_lines(part, raw_format, True, _CHUNK_BYTES):
        columns, *_ = parse_rows(chunk.data, names, dict.fromkeys(names, ("text",)), raw_format)
        frames.append(texts(columns))
        rows += columns.num_rows
        if rows >= max_rows:
            break
    return pl.concat(frames).head(max_rows)


def _middle(path: Path) -> FilePart | None:
    """A plain text file from the first line after its middle."""
    if is_compressed(path):
        return None
    with path.open("rb") as file:
        file.seek(path.stat().st_size // 2)
        file.readline()
        start = file.tell()
    return FilePart(path, start) if start < path.stat().st_size else None
