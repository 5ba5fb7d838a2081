"""A first schema file for a table, from a sample of its rows: what each column seems to be, and why.

The schema is a guess to be read and corrected. Only the log's owner knows which columns are codes and which are
quantities, and what was known before the click. Integers count as quantities if neighbouring integers are about equally
frequent, which holds for counts, ages and prices but not for codes.
"""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl

from data_pipelines.doctor.table_sample import LIST_SEPARATOR, TableSample
from data_pipelines.errors import UserError
from data_pipelines.fields.column_readings import ColumnReading, column_reading
from data_pipelines.fields.declarations import DEFAULT_BINS, MAX_VALUES, RawFormat
from data_pipelines.fields.kinds import INTEGER, is_of_kind
from data_pipelines.fields.labels import NO_LABEL, label_values
from data_pipelines.fields.readings import Reading, read
from data_pipelines.fields.rules import numbers, split_values, to_levels
from data_pipelines.fields.times import EPOCH_UNITS
from data_pipelines.formats.tabular import parse_schema
from data_pipelines.output import is_written_through, write_complete

LABEL_NAMES = ("label", "click", "clicked", "is_click", "target", "y")
SEPARATORS = ("|", ";", ",")
_CODE_NAME = r"(?i)(^|[_ .-])(id|uid|code|key|type|zip)$"
_FEW_LEVELS = 20
"""Integers with at most this many different values are always categories."""
_ROW_NAME_SHARE = 0.95
_MIN_ROWS = 100
_HEAVY_TAIL = 10
"""Quantities whose 99 % quantile exceeds the median by this factor get logarithmic bins."""
_ROUGH, _ROUGH_TAIL = 0.25, 0.5
"""Largest roughness of the frequencies of quantities; a heavy tail is sparse, and so rougher."""
_MIN_LISTS = 0.05
"""Smallest share of rows with a separator in a multi-valued column."""
_LONG = 100


@dataclasses.dataclass(frozen=True)
class Decision:
    """What a column becomes.

    Attributes:
        column: its name.
        kind: that of its fields, "label" or "left out".
        why: a few words.
        fields: entries of the schema file; `decide` adds "name" and "column".
        warning: what the user should check; "" if there is nothing.
    """

    column: str
    kind: str
    why: str
    fields: tuple[dict[str, Any], ...] = ()
    warning: str = ""


def decide(sample: TableSample, label: str | None = None) -> list[Decision]:
    """Decides what each column becomes.

    Args:
        sample: rows of the table.
        label: the label column; if None, it is found by its name and values.

    Raises:
        UserError: there is no such label column, none that is clearly the label, or no column left for fields.
    """
    label = _label(sample.rows, label)
    taken = set(sample.rows.columns)
    found = []
    for name in sample.rows.columns:
        decision = Decision(name, "label", "0 or 1") if name == label else _decide(sample.rows[name], sample)
        fields = tuple(_named(field, name, taken) for field in decision.fields)
        found.append(dataclasses.replace(decision, fields=fields))
    found += [
        Decision(name, "left out", f"of type {kind}, which is no text") for name, kind in sample.unreadable.items()
    ]
    if not any(decision.fields for decision in found):
        reasons = "; ".join(f"{one.column}: {one.why}" for one in found if one.kind == "left out")
        raise UserError(f"no column is left for a field ({reasons or 'there is only the label'})")
    return found


def save_schema(path: str | Path, sample: TableSample, decisions: list[Decision]) -> None:
    """Writes the schema file, one field a line.

    Raises:
        UserError: the file exists already.
    """
    label = next(one.column for one in decisions if one.kind == "label")
    fields = [field for one in decisions for field in one.fields]
    content = {"label": label, "file": sample.file, "fields": fields}
    parse_schema(content, str(path))
    lines = ",\n".join(f"    {json.dumps(field, ensure_ascii=False)}" for field in fields)
    head = "".join(
        f"  {json.dumps(key)}: {json.dumps(content[key], ensure_ascii=False)},\n" for key in ("label", "file")
    )
    if Path(path).exists() and not is_written_through(path):
        raise UserError(f"{path}: exists already; name another file with --suggest_schema")
    write_complete(path, f'{{\n{head}  "fields": [\n{lines}\n  ]\n}}\n')


def _label(rows: pl.DataFrame, wanted: str | None) -> str:
    binary = [name for name in rows.columns if _is_label(rows[name]).all()]
    listed = ", ".join(binary) or "none"
    if wanted is not None:
        if wanted not in rows.columns:
            raise UserError(f"--label={wanted}: there is no such column; of 0 and 1 are: {listed}")
        if wanted not in binary:
            other = rows[wanted].filter(~_is_label(rows[wanted]))[0]
            raise UserError(f"--label={wanted}: the column holds {other!r} beside 0 and 1; of 0 and 1 are: {listed}")
        return wanted
    named = [name for name in binary if name.lower() in LABEL_NAMES]
    if len(named) != 1:
        raise UserError(f"which column is the label? give it as --label=NAME; columns of 0 and 1: {listed}")
    return named[0]


def _is_label(text: pl.Series) -> pl.Series:
    return pl.Series(label_values(text, RawFormat("", "")) != NO_LABEL)


def _named(field: dict[str, Any], column: str, taken: set[str]) -> dict[str, Any]:
    """An entry of the schema file with a unique name."""
    name = re.sub(r"[/\0]", "_", column).lstrip(".") or "field"
    if field["kind"] == "time":
        name = field["part"] if field["part"] not in taken else f"{name}_{field['part']}"
    while name != column and name in taken:
        name += "_"
    taken.add(name)
    return {"name": name, **({} if name == column else {"column": column}), **field}


def _decide(column: pl.Series, sample: TableSample) -> Decision:
    name, distinct = column.name, column.n_unique()
    if not name:
        return Decision(name, "left out", "has no name")
    if distinct == 1:
        return Decision(name, "left out", "is empty" if column[0] == "" else f"is {column[0]!r} in all rows")
    if name in sample.lists:
        return _multi_valued(column.filter(column != ""), LIST_SEPARATOR)
    found, filled = column_reading(column), column.filter(column != "")
    separator = _separator(filled) if found.kind != "time" else None
    if separator and found.kind == "number" and not filled.str.contains(".", literal=True).any():
        # A list of three-digit numbers looks like one number with separators of thousands.
        found = ColumnReading("text", filled, {})
    if found.doubt:
        kind, missing = ("time", '"format"') if found.kind == "time" else ("numeric", '"decimal" or "thousands"')
        warning = f"{found.doubt}; add a field of kind {kind} with its {missing}"
        return Decision(name, "left out", found.doubt, warning=warning)
    decision = _of_text(column, found, separator) if found.kind == "text" else _of_reading(found)
    keys = {key: value for key, value in found.keys.items() if decision.kind != "categorical" or key == "trim"}
    why = "; ".join(filter(None, [decision.why, found.why]))
    return dataclasses.replace(decision, why=why, fields=tuple(field | keys for field in decision.fields))


def _of_reading(found: ColumnReading) -> Decision:
    if found.kind == "time":
        return _time(found.text, found.keys["format"])
    integers = found.text.str.contains(INTEGER).all()
    return (integers and _names_the_row(found.text)) or _numeric(found.text, integers)


def _of_text(column: pl.Series, found: ColumnReading, separator: str | None) -> Decision:
    if separator:
        return _multi_valued(found.text, separator)
    if row_name := _names_the_row(found.text):
        return row_name
    if (length := cast(float, found.text.str.len_chars().mean())) > _LONG:
        return Decision(column.name, "left out", f"long text of {length:.0f} characters on average")
    return _categorical(column, f"{column.n_unique():,} levels")


def _names_the_row(filled: pl.Series) -> Decision | None:
    levels_, rows = filled.n_unique(), len(filled)
    if rows < _MIN_ROWS or levels_ < _ROW_NAME_SHARE * rows:
        return None
    why = f"names the row: {levels_:,} levels in {rows:,} rows"
    return Decision(filled.name, "left out", why, warning=f"{why}, so it teaches nothing and is left out")


def _categorical(column: pl.Series, why: str) -> Decision:
    return Decision(column.name, "categorical", why, ({"kind": "categorical"},))


def _time(filled: pl.Series, form: str) -> Decision:
    times = read(filled, Reading(time=form))
    parts = [part for part in ("hour_of_day", "weekday") if to_levels(times, part).n_unique() > 1]
    as_text = f"as {filled[0]!r}, {form}{' (in UTC)' if form in EPOCH_UNITS else ''}"
    if not parts:
        return Decision(filled.name, "left out", f"times of one hour and weekday, {as_text}")
    return Decision(filled.name, "time", as_text, tuple({"kind": "time", "part": part} for part in parts))


def _separator(filled: pl.Series) -> str | None:
    """The separator of a text's values: the values vary in number and recur in other rows."""
    for separator in SEPARATORS:
        with_it = filled.filter(filled.str.contains(separator, literal=True))
        if len(with_it) < _MIN_LISTS * len(filled):
            continue
        parts = split_values(filled, separator)
        counts = parts.list.len()
        recurring = parts.explode().n_unique() < with_it.n_unique()
        varied = counts.n_unique() > 1 and cast(int, counts.max()) > 2
        # Prose has commas too, but with spaces after them.
        if recurring and varied and not with_it.str.contains(separator + " ", literal=True).any():
            return separator
    return None


def _multi_valued(filled: pl.Series, separator: str) -> Decision:
    parts = split_values(filled, separator)
    longest = cast(int, parts.list.len().max())
    why = f"up to {longest} values a row, {parts.explode().n_unique():,} levels, between {separator!r}"
    field = {"kind": "multi_valued", "separator": separator, "max_values": min(longest, MAX_VALUES)}
    return Decision(filled.name, "multi_valued", why, (field,))


def _numeric(filled: pl.Series, integers: bool) -> Decision:
    name, values = filled.name, numbers(filled)
    known, counts = np.unique(values, return_counts=True)
    frequency = {"kind": "numeric", "bins": "equal_frequency", "count": DEFAULT_BINS}
    if not integers:
        return Decision(name, "numeric", f"numbers from {known[0]:g} to {known[-1]:g}", (frequency,))
    if len(known) <= _FEW_LEVELS:
        return _categorical(filled, f"{len(known)} different integers")
    no_quantity = filled.str.contains("^-?0[0-9]").any() or not is_of_kind(filled, "integer").all()
    if re.search(_CODE_NAME, name) or no_quantity or known[0] > known[-1] - known[0]:
        return _categorical(filled, f"integers that look like codes, {len(known):,} levels")
    median, tail = np.quantile(values, [0.5, 0.99])
    heavy = tail > _HEAVY_TAIL * max(median, 1)
    if _roughness(counts) > (_ROUGH_TAIL if heavy else _ROUGH):
        return _categorical(filled, f"integers whose frequencies jump as those of codes do, {len(known):,} levels")
    if heavy and (values < 0).mean() < _MIN_LISTS:
        why = f"integers with a long tail: median {median:g}, 99 % below {tail:g}"
        return Decision(name, "numeric", why, ({"kind": "numeric", "bins": "log_square"},))
    return Decision(name, "numeric", f"integers from {known[0]:g} to {known[-1]:g}", (frequency,))


def _roughness(counts: np.ndarray) -> float:
    """Von Neumann's ratio: about 0 if neighbours are equally frequent, 1 if their frequencies are unrelated."""
    logarithms = np.log(counts)
    variance = logarithms.var()
    return float((np.diff(logarithms) ** 2).mean() / (2 * variance)) if variance else 1.0
