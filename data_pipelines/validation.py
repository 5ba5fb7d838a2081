"""Lines of a raw log -> a frame of good rows, and what is wrong with the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from data_pipelines.raw_format import RawFormat

_SHOWN_VALUE_LENGTH = 60


@dataclasses.dataclass(frozen=True)
class BadLine:
    """A line's index within its chunk, and its first problem, field and value named."""

    index: int
    problem: str


def parse_lines(
    data: bytes, columns: Sequence[str], raw_format: RawFormat
) -> tuple[pl.DataFrame, np.ndarray, list[BadLine]]:
    """Parses and checks whole lines.

    Args:
        data: lines, each ended by a line feed.
        columns: the names of a line's fields, in order.
        raw_format: delimiter, label column and kinds of the columns.

    Returns:
        The good rows (every column String, "" is missing), which lines they are (bool [lines]), and the bad
        lines in order.
    """
    bytes_ = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(bytes_ == ord("\n")) + 1
    delimiters = np.flatnonzero(bytes_ == ord(raw_format.delimiter))
    fields = np.diff(np.searchsorted(delimiters, ends), prepend=0) + 1
    starts = np.concatenate([[0], ends[:-1]])

    # Polars skips empty lines; a format of one column takes none, as its only value could not be told from
    # none.
    whole = (fields == len(columns)) & (ends - starts > 1)
    problems = {int(i): _count_problem(fields[i], len(columns)) for i in np.flatnonzero(~whole)}
    for i in _undecodable(data, starts, ends):
        if whole[i]:
            problems[i] = _decode_problem(data[starts[i] : ends[i] - 1], columns, raw_format.delimiter)
            whole[i] = False
    if not whole.all():
        data = bytes_[np.repeat(whole, ends - starts)].tobytes()

    frame = _parse(data, columns, raw_format.delimiter)
    if frame.height != whole.sum():
        raise AssertionError(f"the parser found {frame.height} rows in {whole.sum()} lines")
    good = whole.copy()
    lines = np.flatnonzero(whole)
    for row, problem in _value_problems(frame, columns, raw_format):
        problems.setdefault(int(lines[row]), problem)
        good[lines[row]] = False
    if good.sum() < frame.height:
        frame = frame.filter(pl.Series(good[lines]))
    return frame, good, [BadLine(i, problems[i]) for i in sorted(problems)]


def _parse(data: bytes, columns: Sequence[str], delimiter: str) -> pl.DataFrame:
    schema = dict.fromkeys(columns, pl.String)
    if not data:
        return pl.DataFrame(schema=schema)
    return pl.read_csv(
        data,
        separator=delimiter,
        has_header=False,
        schema=schema,
        quote_char=None,
        empty_string_is_null=False,
    )


def _value_problems(frame: pl.DataFrame, columns: Sequence[str], raw_format: RawFormat) -> list[tuple[int, str]]:
    """(row, problem) of bad labels and numbers, in the order of the line's fields."""
    numeric = {column.name for column in raw_format.columns if column.kind == "numeric"}
    checks = {}
    for name in columns:
        value = pl.col(name)
        if name == raw_format.label:
            checks[name] = ~value.is_in(["0", "1"])
        elif name in numeric:
            # The cast takes a plus sign too, which other readers of these logs need not.
            integer = value.cast(pl.Int64, strict=False).is_not_null() & ~value.str.starts_with("+")
            checks[name] = ~(integer | (value == ""))
    bad = frame.select(check.alias(name) for name, check in checks.items())
    found = []
    for name, rows in zip(bad.columns, bad.iter_columns(), strict=True):
        if rows.any():
            expected = "0 or 1" if name == raw_format.label else "an integer"
            for row in rows.arg_true():
                found.append((row, f"field {name}: {_shown(frame[name][row])} is not {expected}"))
    return found


def _undecodable(data: bytes, starts: np.ndarray, ends: np.ndarray) -> list[int]:
    """Lines that are not valid UTF-8; decoding the whole chunk first is much faster than line by line."""
    try:
        data.decode("utf-8")
        return []
    except UnicodeDecodeError:
        return [i for i, (start, end) in enumerate(zip(starts, ends, strict=True)) if not _decodes(data[start:end])]


def _decodes(text: bytes) -> bool:
    try:
        text.decode("utf-8")
        return True
    except UnicodeDecodeError:
        return False


def _count_problem(found: int, expected: int) -> str:
    return f"the line has {found} fields instead of {expected}"


def _decode_problem(line: bytes, columns: Sequence[str], delimiter: str) -> str:
    for name, value in zip(columns, line.split(delimiter.encode()), strict=True):
        if not _decodes(value):
            return f"field {name}: {_shown(repr(value)[1:], quoted=True)} is not valid UTF-8"
    raise AssertionError("the line is valid UTF-8")


def _shown(value: str, quoted: bool = False) -> str:
    text = value if quoted else repr(value)
    return text if len(text) <= _SHOWN_VALUE_LENGTH else text[:_SHOWN_VALUE_LENGTH] + "..."
