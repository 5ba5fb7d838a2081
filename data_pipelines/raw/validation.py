"""Lines of a raw log -> columns of good rows, and what is wrong with the others.

A chunk is first parsed as a whole. Its lines are examined one by one only if the parser fails or a value is bad.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.csv

from data_pipelines.fields.columns import coded, codes, distinct
from data_pipelines.fields.declarations import RawFormat
from data_pipelines.fields.kinds import Kind, description, is_of_kind
from data_pipelines.fields.labels import NO_LABEL, label_description, label_values
from data_pipelines.names import shown
from data_pipelines.raw.lines import BYTE_ORDER_MARK
from data_pipelines.raw.quoting import record_ends, unquoted

_SHOWN_VALUE_LENGTH = 60
_BLOCK_BYTES = 2 << 20


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is wrong with a row.

    Attributes:
        text: names the field and its value.
        column: the column of a bad value; "" if the row itself is malformed.
        kind: what the value should be; "label" for a label.
        value: the bad value.
    """

    text: str
    column: str = ""
    kind: str | Kind = "text"
    value: str = ""


@dataclasses.dataclass(frozen=True)
class BadRow:
    """A row's index within its chunk, its first line within the chunk, and its first problem."""

    index: int
    line: int
    problem: Problem


def parse_rows(
    data: bytes, layout: Sequence[str], kinds: Mapping[str, Sequence[str | Kind]], raw_format: RawFormat
) -> tuple[pa.RecordBatch, np.ndarray, list[BadRow]]:
    """Parses and checks whole rows of a text file.

    Args:
        data: lines, each ended by a line feed.
        layout: the names of a row's columns, in order.
        kinds: the columns to read, each with the kinds of text it must hold (`kinds.is_of_kind`).
        raw_format: delimiter and quoting.

    Returns:
        The good rows (see `columns.coded`; "" is missing), which rows they are (bool [rows]), and the bad rows in
        order.
    """
    problems: dict[int, Problem] = {}
    wanted = [name for name in layout if name in kinds]
    try:
        columns = _parse(data, layout, wanted, raw_format, _BLOCK_BYTES)
        whole = np.ones(columns.num_rows, bool)
        if columns.num_rows != _records(data, raw_format):
            raise pa.ArrowInvalid("empty lines were skipped")
    except pa.ArrowInvalid:
        # The chunk has a bad line, or merely one that is longer than a block.
        (data, kept), whole, problems = _whole_rows(data, layout, wanted, raw_format)
        columns = _parse(kept, layout, wanted, raw_format, max(len(kept), 1))
        if columns.num_rows != whole.sum():
            raise AssertionError(f"the parser found {columns.num_rows} rows in {whole.sum()}") from None
    rows = np.flatnonzero(whole)
    columns, good, bad_values = without_bad_values(columns, kinds, raw_format)
    problems |= {int(rows[row]): problem for row, problem in bad_values.items()}
    whole[rows[~good]] = False
    return columns, whole, _located(data, raw_format, problems)


def without_bad_values(
    columns: pa.RecordBatch, kinds: Mapping[str, Sequence[str | Kind]], raw_format: RawFormat
) -> tuple[pa.RecordBatch, np.ndarray, dict[int, Problem]]:
    """(rows whose values have their columns' kinds, which rows those are, the first problem of each other row)."""
    good = np.ones(columns.num_rows, bool)
    problems: dict[int, Problem] = {}
    for row, problem in _value_problems(columns, kinds, raw_format):
        problems.setdefault(row, problem)
        good[row] = False
    return columns.filter(pa.array(good)) if problems else columns, good, problems


def _value_problems(
    columns: pa.RecordBatch, kinds: Mapping[str, Sequence[str | Kind]], raw_format: RawFormat
) -> list[tuple[int, Problem]]:
    """(row, problem) for values that do not have their column's kinds, in the order of the columns."""
    found = []
    for name in columns.schema.names:
        for kind in kinds[name]:
            if kind == "text":
                continue
            known = distinct(columns, name)
            if kind == "label":
                bad, wanted = label_values(known, raw_format) == NO_LABEL, label_description(raw_format)
            else:
                bad, wanted = ~is_of_kind(known, kind).to_numpy(), description(kind)
            if bad.any():
                for row in np.flatnonzero(bad[codes(columns, name)]):
                    value = known[int(codes(columns, name)[row])]
                    text = f"field {shown(name)}: {_shown(value)} is not {wanted}"
                    found.append((int(row), Problem(text, name, kind, value)))
    return found


def _parse(
    data: bytes, layout: Sequence[str], wanted: Sequence[str], raw_format: RawFormat, block_bytes: int
) -> pa.RecordBatch:
    if not data:
        return coded({name: [] for name in wanted})
    if data.startswith(BYTE_ORDER_MARK):
        # The byte order mark of the file itself is already gone, so one here is text. Arrow drops it from any input.
        data = BYTE_ORDER_MARK + data
    table = pyarrow.csv.read_csv(
        pa.BufferReader(data),
        pyarrow.csv.ReadOptions(column_names=list(layout), block_size=block_bytes),
        pyarrow.csv.ParseOptions(
            delimiter=raw_format.delimiter,
            quote_char='"' if raw_format.quoted else False,
            newlines_in_values=raw_format.quoted,
        ),
        pyarrow.csv.ConvertOptions(
            include_columns=list(wanted),
            column_types=dict.fromkeys(wanted, pa.string()),
            strings_can_be_null=False,
        ),
    )
    return coded(dict(zip(wanted, table.columns, strict=True)))


def _records(data: bytes, raw_format: RawFormat) -> int:
    if not raw_format.quoted or b'"' not in data:
        return data.count(b"\n")
    return len(record_ends(np.frombuffer(data, np.uint8), True))


def _whole_rows(
    data: bytes, layout: Sequence[str], wanted: Sequence[str], raw_format: RawFormat
) -> tuple[tuple[bytes, bytes], np.ndarray, dict[int, Problem]]:
    """((all rows, the well-formed ones), which rows those are, problems of the others by row)."""
    bytes_ = np.frombuffer(data, np.uint8)
    ends = record_ends(bytes_, raw_format.quoted)
    starts = np.concatenate([[0], ends[:-1]])
    delimiters = np.flatnonzero(bytes_ == ord(raw_format.delimiter))
    if raw_format.quoted:
        delimiters = unquoted(bytes_, delimiters)
    fields = np.diff(np.searchsorted(delimiters, ends), prepend=0) + 1
    # In a log with one column, an empty line could not be told from a missing one.
    whole = (fields == len(layout)) & (ends - starts > 1)
    problems = {
        int(i): Problem(f"the line has {fields[i]} fields instead of {len(layout)}") for i in np.flatnonzero(~whole)
    }
    read = [position for position, name in enumerate(layout) if name in wanted]
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        if whole[i] and not _decodes(data[start:end]):
            first, last = np.searchsorted(delimiters, (start, end))
            values = np.split(bytes_[start : end - 1], delimiters[first:last] - start)
            bad = next((p for p in read if not _decodes(values[p][p > 0 :].tobytes())), None)
            if bad is not None:
                value = repr(values[bad][bad > 0 :].tobytes())[1:]
                problems[i] = Problem(f"field {shown(layout[bad])}: {_shown(value, quoted=True)} is not valid UTF-8")
                whole[i] = False
    return (data, bytes_[np.repeat(whole, ends - starts)].tobytes()), whole, problems


def _located(data: bytes, raw_format: RawFormat, problems: Mapping[int, Problem]) -> list[BadRow]:
    if not problems:
        return []
    lines = np.arange(max(problems) + 1)
    if raw_format.quoted:
        bytes_ = np.frombuffer(data, np.uint8)
        starts = np.concatenate([[0], record_ends(bytes_, True)])
        lines = np.searchsorted(np.flatnonzero(bytes_ == ord("\n")), starts)
    return [BadRow(i, int(lines[i]), problems[i]) for i in sorted(problems)]


def _decodes(text: bytes) -> bool:
    try:
        text.decode("utf-8")
        return True
    except UnicodeDecodeError:
        return False


def _shown(value: str, quoted: bool = False) -> str:
    text = value if quoted else repr(value)
    return text if len(text) <= _SHOWN_VALUE_LENGTH else text[:_SHOWN_VALUE_LENGTH] + "..."
