"""What to write into a schema file so that a column's bad values can be read."""

import dataclasses
import json
from typing import Any

import polars as pl

from data_pipelines.errors import UserError
from data_pipelines.fields.column_readings import ColumnReading, column_reading, is_missing_token
from data_pipelines.fields.kinds import Kind, is_of_kind
from data_pipelines.fields.readings import PLAIN, Reading

_KINDS = {"integer": "number", "number": "number", "time": "time"}
"""The kinds of text that have more than one way to be written, each with its `ColumnReading.kind`."""


def way_to_read(value: str, kind: str | Kind, known: pl.Series) -> str:
    """The schema's keys that make a bad value readable, as advice; "" where no keys do.

    Args:
        value: the bad value.
        kind: what it should be.
        known: the column's distinct texts.
    """
    name, reading = kind if isinstance(kind, Kind) else (kind, PLAIN)
    if name not in _KINDS or not value:
        return ""
    filled = known.filter(known != "")
    good = filled.filter(is_of_kind(filled, kind))
    # If other bad values fit no reading, the good values and this one decide.
    for texts in (filled, pl.concat([good, pl.Series([value])])):
        found = column_reading(texts)
        if found.kind != _KINDS[name]:
            continue
        if found.doubt:
            wanted = '"format"' if found.kind == "time" else '"decimal" or "thousands"'
            return f"{found.doubt}: give the field its {wanted} in the schema"
        for keys in _changes(found, reading):
            if _makes_readable(value, name, reading, keys):
                return _advice(keys)
    tokens = {"missing": [*reading.missing, value]}
    return _advice(tokens) if is_missing_token(pl.Series([value])).all() else ""


def _changes(found: ColumnReading, reading: Reading) -> list[dict[str, Any]]:
    """Keys that turn a field's reading into the one found, the fewest first."""
    current = dataclasses.asdict(reading)
    current = {"format": current.pop("time"), **current, "missing": list(reading.missing)}
    keys = found.keys | {"missing": list(dict.fromkeys([*reading.missing, *found.keys.get("missing", [])]))}
    plain = {"decimal": ".", "thousands": ""} if found.kind == "number" else {}
    return [{key: value for key, value in one.items() if value != current[key]} for one in (keys, plain | keys)]


def _makes_readable(value: str, name: str, reading: Reading, keys: dict[str, Any]) -> bool:
    arguments = {"time" if key == "format" else key: value for key, value in keys.items()}
    arguments |= {"missing": tuple(keys["missing"])} if "missing" in keys else {}
    try:
        new = dataclasses.replace(reading, **arguments)
    except UserError:
        return False
    return bool(keys) and is_of_kind(pl.Series([value]), Kind(name, new)).all()


def _advice(keys: dict[str, Any]) -> str:
    return f"give the field {json.dumps(keys, ensure_ascii=False)[1:-1]} in the schema"
