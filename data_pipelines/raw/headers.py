"""Which columns a raw file has, and whether files go together."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_pipelines.errors import UserError
from data_pipelines.fields.declarations import RawFormat
from data_pipelines.raw.lines import FilePart, read_lines
from data_pipelines.raw.parquet import opened

_FIRST_LINE_BYTES = 1 << 16


def column_names(path: Path, raw_format: RawFormat, label_optional: bool) -> list[str]:
    """The columns of a file in order, from its header or first line.

    Where the label is optional, a log without a header may lack it (the first column); its first line tells.

    Raises:
        UserError: the file is missing, empty, or no Parquet file where it should be one.
    """
    if not path.is_file():
        raise UserError(f"{path}: raw file not found")
    if raw_format.is_parquet:
        with opened(path) as file:
            return list(file.schema_arrow.names)
    first = next(read_lines(FilePart(path), raw_format, False, _FIRST_LINE_BYTES), None)
    if first is None:
        raise UserError(f"{path}: the file is empty; remove it from --raw")
    text = first.data.decode("utf-8", "replace")
    if raw_format.quoted:
        # Not by splitlines: it would cut at more than line feeds.
        found = next(csv.reader(io.StringIO(text, newline="\n"), delimiter=raw_format.delimiter))
    else:
        found = text[: text.index("\n")].split(raw_format.delimiter)
    if not raw_format.has_header:
        names = list(raw_format.columns)
        bare = label_optional and raw_format.label == names[0] and len(found) == len(names) - 1
        return names[1:] if bare else names
    repeated = sorted({name for name in found if found.count(name) > 1})
    if repeated:
        raise UserError(f"{path}:1: the header names column {repeated[0]!r} twice")
    return found


def check_layouts(
    layouts: Mapping[Path, Sequence[str]], raw_format: RawFormat, columns: Sequence[str], label_optional: bool
) -> bool:
    """Whether the files have labels.

    Args:
        layouts: the columns of each file.
        raw_format: names the label column.
        columns: those that fields read.
        label_optional: a missing label column is no error.

    Raises:
        UserError: a file lacks a column or has other columns than the first.
    """
    first_path, first = next(iter(layouts.items()))
    for path, found in layouts.items():
        place = f"{path}:1: the header" if raw_format.delimiter else f"{path}: the file"
        missing = [name for name in columns if name not in found]
        if missing:
            raise UserError(
                f"{place} has no column {missing[0]!r}; there are {_shown(found)}; is this a {raw_format.name} log?"
            )
        if raw_format.label not in found and not label_optional:
            raise UserError(f"{place} has no label column {raw_format.label!r}; there are {_shown(found)}")
        if set(found) != set(first):
            only = sorted(set(found) ^ set(first))
            raise UserError(
                f"{path}: has other columns than {first_path} ({_shown(only)} in one of them only); "
                "prepare logs of one layout"
            )
    return raw_format.label in first


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
