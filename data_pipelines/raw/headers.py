"""The columns and layout of a raw file, and whether several files fit together."""

import csv
import dataclasses
import io
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from data_pipelines.errors import UserError
from data_pipelines.fields.declarations import RawFormat
from data_pipelines.fields.kinds import NUMBER
from data_pipelines.names import shown
from data_pipelines.raw.containers import is_parquet
from data_pipelines.raw.lines import FilePart, read_lines
from data_pipelines.raw.parquet import opened

_FIRST_LINE_BYTES = 1 << 16
_DELIMITERS = {",": "a comma", "\t": "a tab", ";": "a semicolon", "|": "a bar"}


@dataclasses.dataclass(frozen=True)
class Layout:
    """A file's columns.

    Attributes:
        raw_format: the log's format as used by this file, which may be Parquet or text independently of the other
            files.
        names: of the columns, in order.
    """

    raw_format: RawFormat
    names: tuple[str, ...]


def read_layout(path: Path, raw_format: RawFormat, wanted: Sequence[str], label_ignored: bool) -> Layout:
    """The layout of a file, from its header or first line.

    A file is Parquet if its first bytes say so. Its columns are then found by name, even if the format is a text
    format. A text file of a Parquet log must have a header. Its delimiter is the one that finds the most wanted
    columns.

    Args:
        path: the file.
        raw_format: how the log's files look.
        wanted: the columns that will be read.
        label_ignored: whether a log without a header may lack the label; its first line shows whether it does.

    Raises:
        UserError: the file is missing, empty, or neither text nor Parquet.
    """
    if not path.is_file():
        raise UserError(f"{path}: raw file not found")
    if is_parquet(path):
        with opened(path) as file:
            return Layout(dataclasses.replace(raw_format, delimiter=""), _once(file.schema_arrow.names, str(path)))
    first = _first_line(path, raw_format)
    if raw_format.is_parquet:
        raw_format = _text_format(raw_format, first, wanted)
    names = _split(first, raw_format)
    if raw_format.has_header:
        return Layout(raw_format, _once(names, f"{path}:1"))
    known = raw_format.columns
    bare = label_ignored and raw_format.label in known and len(names) == len(known) - 1
    other = None if bare or len(names) == len(known) else _other_delimiter(first, raw_format, lambda n: n == len(known))
    if other:
        raise UserError(
            f"{path}:1: the line has {len(names)} fields by {_delimiter(raw_format)}, and {len(known)} by {other}; "
            f"{raw_format.name} logs have {len(known)}, by {_delimiter(raw_format)}"
        )
    return Layout(raw_format, tuple(name for name in known if name != raw_format.label or not bare))


def check_layouts(
    layouts: Mapping[Path, Layout], raw_format: RawFormat, columns: Sequence[str], label_ignored: bool
) -> None:
    """Checks that the files have the columns that are read, and that they fit together.

    Args:
        layouts: of each file.
        raw_format: names the label column.
        columns: those that fields read.
        label_ignored: whether the label column may be missing.

    Raises:
        UserError: a file lacks a column or has other columns than the first.
    """
    wanted = [*columns, *(() if label_ignored or raw_format.click_key else (raw_format.label,))]
    first_path, first = next(iter(layouts.items()))
    ignored = {raw_format.label} if label_ignored else set()
    for path, layout in layouts.items():
        missing = [name for name in wanted if name not in layout.names]
        if missing:
            raise UserError(_missing(path, layout, missing[0], wanted, raw_format))
        only = sorted((set(layout.names) ^ set(first.names)) - ignored)
        if only:
            raise UserError(
                f"{path}: has other columns than {first_path} ({_listed(only)} in one of them only); "
                "read logs of one layout together"
            )


def _missing(path: Path, layout: Layout, missing: str, wanted: Sequence[str], raw_format: RawFormat) -> str:
    """The message about a column that a file lacks."""
    text = layout.raw_format
    place = f"{path}: the file" if text.is_parquet else f"{path}:1: the header"
    what = f"label column {missing!r}" if missing == raw_format.label else f"column {missing!r}"
    message = f"{place} has no {what}; there are {_listed(layout.names)}"
    alike = [name for name in layout.names if name.strip().lower() == missing.strip().lower()]
    if alike:
        return f"{message}; {alike[0]!r} differs by blanks or capitals: correct the name in the file or the schema"
    if any(f"{missing}=" in part for part in path.parts):
        return f"{message}; {missing} is in the folder's name alone: write it into the files, or leave the field out"
    if not text.is_parquet:
        first = _first_line(path, text)
        other = _other_delimiter(first, text, None, wanted)
        if other:
            setting = ' ("file": {"delimiter": ..} in the schema)' if raw_format.name == "tabular" else ""
            return f"{message}; {other} would split it into the columns that are wanted: set that delimiter{setting}"
        if raw_format.name == "tabular" and any(re.match(NUMBER, name) for name in layout.names):
            return (
                f'{message}; if the file has no header, name all its columns in the schema: "file": {{"columns": [..]}}'
            )
    return f"{message}; is this a {raw_format.name} log?"


def _first_line(path: Path, raw_format: RawFormat) -> str:
    some = dataclasses.replace(raw_format, delimiter=",") if raw_format.is_parquet else raw_format
    first = next(read_lines(FilePart(path), some, False, _FIRST_LINE_BYTES), None)
    if first is None:
        raise UserError(f"{path}: the file is empty; remove it from --raw")
    if raw_format.has_header or raw_format.is_parquet:
        _check_header(first.data[: first.data.index(b"\n")], path)
    return first.data.decode("utf-8", "replace")


def _check_header(header: bytes, path: Path) -> None:
    try:
        text = header.decode("utf-8")
    except UnicodeDecodeError:
        raise UserError(
            f"{path}:1: the header is not valid UTF-8; convert the file: iconv -f LATIN1 -t UTF-8 {path.name} "
            "> NEW_FILE"
        ) from None
    if "\0" in text:
        raise UserError(
            f"{path}:1: the header holds NULs or carriage returns; where lines end in carriage returns alone, convert "
            f"the file: tr '\\r' '\\n' < {path.name} > NEW_FILE"
        )


def _split(text: str, raw_format: RawFormat) -> list[str]:
    """The values of a text's first record."""
    if raw_format.quoted:
        # Not by splitlines: it would cut at more than line feeds.
        return next(csv.reader(io.StringIO(text, newline="\n"), delimiter=raw_format.delimiter))
    return text[: text.index("\n")].split(raw_format.delimiter)


def _text_format(raw_format: RawFormat, first: str, wanted: Sequence[str]) -> RawFormat:
    """The layout of a text file of a Parquet log, with the delimiter that finds the most wanted columns."""
    formats = [
        dataclasses.replace(raw_format, delimiter=delimiter, has_header=True, quoted=delimiter != "\t")
        for delimiter in _DELIMITERS
    ]
    return max(formats, key=lambda one: (len(set(wanted) & set(_split(first, one))), len(_split(first, one))))


def _other_delimiter(
    first: str, raw_format: RawFormat, width: Callable[[int], bool] | None, wanted: Sequence[str] = ()
) -> str | None:
    """The name of a delimiter that gives a fitting number of columns, or all wanted columns."""
    for delimiter, name in _DELIMITERS.items():
        found = _split(first, dataclasses.replace(raw_format, delimiter=delimiter))
        if delimiter != raw_format.delimiter and (width(len(found)) if width else set(wanted) <= set(found)):
            return name
    return None


def _once(names: Sequence[str], place: str) -> tuple[str, ...]:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        what = "header" if place.endswith(":1") else "file"
        raise UserError(f"{place}: the {what} names column {repeated[0]!r} twice; give one of them another name")
    return tuple(names)


def _delimiter(raw_format: RawFormat) -> str:
    return _DELIMITERS.get(raw_format.delimiter, repr(raw_format.delimiter))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(shown, names[:8])) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
