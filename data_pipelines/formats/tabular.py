r"""Any table: a schema file describes the columns of CSV, TSV or Parquet files.

    {
      "label": "clicked",
      "file": {"format": "csv"},
      "min_count": 10,
      "fields": [
        {"name": "user", "kind": "categorical", "min_count": 2},
        {"name": "age", "kind": "numeric", "bins": "equal_frequency", "count": 20},
        {"name": "views", "kind": "numeric", "bins": "log_square"},
        {"name": "price", "kind": "numeric", "bins": "none", "scale": "log"},
        {"name": "genres", "kind": "multi_valued", "separator": "|", "max_values": 8},
        {"name": "ad", "kind": "hashed", "buckets": 1000000},
        {"name": "user x ad", "kind": "cross", "fields": ["user", "ad"], "buckets": 1000000},
        {"name": "hour", "kind": "time", "part": "hour_of_day", "format": "unix_s", "column": "timestamp"}
      ]
    }

`label` is a column of 0 and 1 (or 0.0 and 1.0, false and true). Other labels are declared: by the positive texts, as
{"column": "income", "positive": ">50K"} (or a list of texts; all others are negative), or by the smallest positive
number, as {"column": "rating", "at_least": 4}. Blanks around labels do not count.

`weight`, if given, is a column of row weights: numbers of at least 0. Losses and metrics count a row of weight 2 as two
rows. Prediction needs no weights.

`file.format` is csv, tsv or parquet. Text files may have `delimiter` and `quoted` (default: true for csv, false for
tsv). They have a header, or `columns` gives the names of all columns in order. Each field has `name`, `kind` and
`column` (default: the name), and by kind:

* categorical: `min_count` (default: the file's, else --min_count).
* hashed: `buckets`, the number of rows from which a hash of the text, seeded by --seed, picks one; different texts may
  share a row. It needs no vocabulary, so the number of different texts does not matter, and texts that training did not
  see have a row too. With `separator` (and `max_values`), a field of several values.
* numeric: `bins` is "log_square", "log_of_square" or "log1p_of_square" (integers), "equal_frequency" with `count` (10)
  of them (the default is --numeric_bins, with --bin_count), or "none": a float beside the id, standardised, of the
  value itself or its logarithm (`scale`: "linear" or "log").
* multi_valued: `separator` ("|"), `max_values` (16, the first ones), `min_count`; embedded by mean.
* time: `part` is "hour_of_day" or "weekday"; `format` is YYMMDDHH, YYYYMMDDHH, YYYYMMDD, iso8601, unix_s, unix_ms or a
  pattern of strptime (`times.py`). Without `format`, all rows of the column must fit exactly one named form.
  Unix times give hour and weekday in UTC; written times give those of the clock that the log was written by.

* cross: `fields`, names of two or more fields of one value whose levels are hashed together into `buckets` rows; it has
  no column of its own. Numbers need bins to be crossed.

Categorical, multi_valued and hashed fields may be `shared_with` another such field: both have one vocabulary, in which
levels of both count, and one set of table rows, such as a last ad and a list of earlier ads. `min_count` and `buckets`
are then given by the other field alone.

Categorical and multi_valued fields may have `vectors`, a file of pre-trained vectors, looked for beside the schema
file: the first rows of their levels in the embedding, which must have the vectors' width. With `frozen` (false),
training leaves these rows as they are. `data_pipelines/fields/vectors.py` says how the files look.

All fields but crosses may have `missing` (texts that mean a missing value, such as ["NA", "\N"]) and `trim` (true:
blanks around the text do not count). A multi-valued field applies both to its whole text and to each value, so "a| NA
|b" can be the values a and b. Numeric fields may have `decimal` ("," or ".") and `thousands` ("." in 1.234,5; see
`readings.py`). Keys given in `file` hold for all fields that do not say otherwise. Infinite values are no numbers: name
them in `missing`.

Columns that belong to no field are not read.
"""

import dataclasses
from pathlib import Path
from types import UnionType
from typing import Any

from data_pipelines.errors import UserError
from data_pipelines.fields.declarations import BINNINGS, DEFAULT_BINS, MAX_VALUES, Input, RawFormat
from data_pipelines.fields.readings import Reading
from data_pipelines.fields.schema import check_names
from data_pipelines.fields.times import time_form
from data_pipelines.formats.linked_fields import (
    CROSS_KEYS,
    VECTOR_KEYS,
    check_crosses,
    cross,
    with_shared,
    with_vectors,
)
from data_pipelines.json_files import checked_keys, load_user_json

_DELIMITERS = {"csv": ",", "tsv": "\t", "parquet": ""}
_KEYS: dict[str, dict[str, type]] = {
    "categorical": {"min_count": int, "shared_with": str} | VECTOR_KEYS,
    "numeric": {"bins": str, "count": int, "scale": str, "min_count": int, "decimal": str, "thousands": str},
    "multi_valued": {"separator": str, "max_values": int, "min_count": int, "shared_with": str} | VECTOR_KEYS,
    "hashed": {"buckets": int, "separator": str, "max_values": int, "shared_with": str},
    "time": {"part": str, "format": str, "min_count": int},
    "cross": CROSS_KEYS,
}
_OF_ALL_TEXT: dict[str, type] = {"missing": list, "trim": bool}
_OF_NUMBERS: dict[str, type] = {"decimal": str, "thousands": str}


def read_schema_file(
    path: str | Path, numeric_bins: str = "log_square", bin_count: int = 0
) -> tuple[RawFormat, tuple[Input, ...]]:
    """The raw format and fields that a schema file describes.

    Raises:
        UserError: the file is missing or malformed; the message names the key.
    """
    content = load_user_json(path, way_out="write one, or let doctor --suggest_schema do it")
    return parse_schema(content, str(path), numeric_bins, bin_count)


def parse_schema(
    value: Any, source: str, numeric_bins: str = "log_square", bin_count: int = 0
) -> tuple[RawFormat, tuple[Input, ...]]:
    """The same of a schema file's content; `source` is named in errors.

    `numeric_bins`, with its number of bins, is the rule of numeric fields that declare none.
    """
    default = {"bins": numeric_bins} | ({"count": bin_count} if bin_count else {})
    kinds: dict[str, type | UnionType] = {"label": str | dict, "file": dict, "min_count": int, "fields": list}
    kinds |= {"weight": str}
    value = checked_keys(value, kinds, source, optional=("file", "min_count", "weight"))
    if not value["fields"]:
        raise UserError(f"{source}: there are no fields; name at least one")
    label = _label(value["label"], source)
    raw_format = dataclasses.replace(_format(value.get("file", {}), label["label"], source), **label)
    raw_format = dataclasses.replace(raw_format, weight=_weight(value, raw_format, source))
    inputs = []
    for i, field in enumerate(with_shared(value["fields"], source)):
        try:
            found = _input(field, value.get("min_count"), default, f"fields[{i}]", value.get("file", {}))
            inputs.append(with_vectors(found, field, f"fields[{i}]", source))
        except UserError as error:
            raise UserError(f"{source}: {error}") from None
        if inputs[-1].column == raw_format.label:
            raise UserError(f"{source}: field {inputs[-1].name} reads the label column {raw_format.label!r}")
        if inputs[-1].column and inputs[-1].column == raw_format.weight:
            raise UserError(
                f"{source}: field {inputs[-1].name} reads the weight column {raw_format.weight!r}, which prediction "
                "does not have; write it to a second column if it is known before the click"
            )
    try:
        check_names([one.name for one in inputs])
        check_crosses(inputs)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    return raw_format, tuple(inputs)


def _label(label: str | dict[str, Any], source: str) -> dict[str, Any]:
    """The attributes of `RawFormat` that declare the label."""
    if isinstance(label, str):
        return {"label": label}
    place = f"{source}, label"
    kinds: dict[str, type | UnionType] = {"column": str, "positive": str | list, "at_least": int | float}
    checked_keys(label, kinds, place, optional=("positive", "at_least"))
    if ("positive" in label) == ("at_least" in label) or isinstance(label.get("at_least"), bool):
        raise UserError(f"{place}: give either 'positive', a text, or 'at_least', a number")
    if "at_least" in label:
        return {"label": label["column"], "at_least": float(label["at_least"])}
    positive = [label["positive"]] if isinstance(label["positive"], str) else label["positive"]
    if not positive or not all(isinstance(text, str) and text.strip() for text in positive):
        raise UserError(f"{place}: 'positive' should be a text or a list of texts, got {label['positive']!r}")
    return {"label": label["column"], "positive": tuple(positive)}


def _weight(value: dict[str, Any], raw_format: RawFormat, source: str) -> str:
    """The weight column; "" where there is none."""
    weight = value.get("weight", "")
    if "weight" in value and (not weight or weight == raw_format.label):
        raise UserError(f"{source}: 'weight' should name a column other than the label, got {weight!r}")
    if weight and raw_format.columns and weight not in raw_format.columns:
        raise UserError(
            f"{source}, file: 'columns' should have the weight {weight!r} among them, got "
            f"{', '.join(raw_format.columns)}"
        )
    return weight


def _format(file: dict[str, Any], label: str, source: str) -> RawFormat:
    own_keys: dict[str, type] = {"format": str, "delimiter": str, "quoted": bool, "columns": list}
    kinds = own_keys | _OF_ALL_TEXT | _OF_NUMBERS
    checked_keys(file, kinds, f"{source}, file", optional=tuple(kinds))
    name = file.get("format", "csv")
    if name not in _DELIMITERS:
        raise UserError(f"{source}, file: 'format' should be csv, tsv or parquet, got {name!r}")
    delimiter = file.get("delimiter", _DELIMITERS[name])
    if name == "parquet" and not {"delimiter", "quoted", "columns"}.isdisjoint(file):
        raise UserError(f"{source}, file: a Parquet file has no delimiter and no quotes, and names its columns itself")
    if name != "parquet" and (len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\0'):
        raise UserError(f"{source}, file: 'delimiter' should be one ASCII character, got {delimiter!r}")
    columns = file.get("columns")
    has_header = name != "parquet" and columns is None
    if columns is not None:
        _check_columns(columns, label, f"{source}, file")
    return RawFormat("tabular", label, tuple(columns or ()), delimiter, has_header, file.get("quoted", name == "csv"))


def _check_columns(columns: list[Any], label: str, place: str) -> None:
    """Raises UserError unless they are distinct names that include the label."""
    if not all(isinstance(name, str) and name for name in columns) or len(set(columns)) < len(columns):
        raise UserError(f"{place}: 'columns' should be the names of all columns in order, each once, got {columns}")
    if label not in columns:
        raise UserError(f"{place}: 'columns' should have the label {label!r} among them, got {', '.join(columns)}")


def _reading(field: dict[str, Any], file: dict[str, Any], place: str) -> Reading:
    """A field's reading, from its own keys and those of the file."""
    keys = _OF_ALL_TEXT | (_OF_NUMBERS if field["kind"] == "numeric" else {})
    given: dict[str, Any] = {key: field.get(key, file.get(key)) for key in keys if key in field or key in file}
    missing: list[Any] = given.get("missing", [])
    if not all(isinstance(token, str) for token in missing):
        raise UserError(f"{place}: 'missing' should be a list of texts, got {missing}")
    try:
        return Reading(**given | {"missing": tuple(missing), "time": field.get("format", "")})
    except UserError as error:
        raise UserError(f"{place}: {error}") from None


def _input(field: Any, min_count: int | None, default: dict[str, Any], place: str, file: dict[str, Any]) -> Input:
    kind = field.get("kind") if isinstance(field, dict) else None
    if kind not in _KEYS:
        raise UserError(f"{place}: 'kind' should be {', '.join(_KEYS)}; got {kind!r}")
    if kind == "cross":
        return cross(field, place)
    own_keys = _KEYS[kind] | _OF_ALL_TEXT
    keys: dict[str, type] = {"name": str, "kind": str, "column": str} | own_keys
    field = checked_keys(field, keys, place, optional=("column", *own_keys))
    reading = _reading(field, file, place)
    name, own, shared = field["name"], field.get("min_count", min_count), field.get("shared_with", "")
    column, own = field.get("column", name), None if shared else own
    if kind == "hashed" and "buckets" not in field:
        raise UserError(f"{place}: 'buckets' is missing; give the number of rows that texts are hashed to")
    if kind == "hashed" and "separator" not in field:
        if "max_values" in field:
            raise UserError(f"{place}: 'max_values' is for fields of several values; give their 'separator' too")
        return Input(name, column, "hashed", reading=reading, buckets=field["buckets"], shared_with=shared)
    if kind in ("multi_valued", "hashed"):
        separator = field.get("separator", "|")
        if not separator or "\n" in separator or "\0" in separator:
            raise UserError(f"{place}: 'separator' should be text without line ends, got {separator!r}")
        rule, own = ("hashed", None) if kind == "hashed" else ("text", own)
        most, buckets = field.get("max_values", MAX_VALUES), field.get("buckets", 0)
        return Input(name, column, rule, own, 0, separator, most, reading, buckets, shared)
    if kind == "time":
        if field.get("part") not in ("hour_of_day", "weekday"):
            raise UserError(f"{place}: 'part' should be hour_of_day or weekday, got {field.get('part')!r}")
        if field["part"] == "hour_of_day" and reading.time and not time_form(reading.time).has_hour:
            raise UserError(f"{place}: times of 'format' {reading.time} have no hour")
        return Input(name, column, field["part"], own, reading=reading)
    if kind == "categorical":
        return Input(name, column, "text", own, reading=reading, shared_with=shared)
    declared = field if "bins" in field else default | field
    return dataclasses.replace(_numeric(declared, name, column, own, place), reading=reading)


def _numeric(field: dict[str, Any], name: str, column: str, min_count: int | None, place: str) -> Input:
    bins, scale = field["bins"], field.get("scale", "linear")
    if bins not in (*BINNINGS, "none"):
        raise UserError(f"{place}: 'bins' should be {', '.join(BINNINGS)} or none, got {bins!r}")
    if "count" in field and bins != "equal_frequency":
        raise UserError(f"{place}: 'count' is for equal_frequency bins")
    if scale not in ("linear", "log") or ("scale" in field and bins != "none"):
        raise UserError(f'{place}: \'scale\' is linear or log, of "bins": "none"; got {scale!r}')
    if bins == "none":
        return Input(name, column, "log_value" if scale == "log" else "value", min_count)
    if bins == "equal_frequency":
        return Input(name, column, bins, min_count, field.get("count", DEFAULT_BINS))
    return Input(name, column, bins, min_count)
