"""tf.Examples of raw rows: parsed to text columns in the graph, made from them in Python.

A feature has the name of the raw log's column and holds a bytes list with the log's own text. With `numbers="native"`,
a column of integers is an int64 list and a column of other numbers a float list, except where the field has its own way
of writing numbers (`Reading`), which stays text. An absent feature is a missing value, as is empty text. A multi-valued
column is a list feature with one element per value. A feature of another type, or several values in a single-valued
column, raises a TensorFlow error that names the column.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from data_pipelines.fields.declarations import column_kinds
from data_pipelines.fields.kinds import INTEGER, NUMBER, Kind
from data_pipelines.fields.schema import Schema

NUMBERS = ("text", "native")
_MISSING_INTEGER = tf.int64.min
_DIGITS = range(6, 10)
"""Significant digits to try: six restore the text of most logs, nine distinguish any two float32."""


def feature_types(schema: Schema, numbers: str) -> dict[str, tf.DType]:
    """The type of each column's feature: tf.string, tf.int64 or tf.float32.

    Raises:
        ValueError: if `numbers` is not in `NUMBERS`.
    """
    if numbers not in NUMBERS:
        raise ValueError(f"numbers must be one of {NUMBERS}; received {numbers!r}")
    types = {}
    for column, kinds in column_kinds(schema.fields).items():
        types[column] = tf.string
        # A number can replace its text only if the rules read numbers in the plain form.
        names = {kind if isinstance(kind, str) else kind.name for kind in kinds}
        readings = [kind.reading for kind in kinds if isinstance(kind, Kind)]
        rewritten = any(reading.rewrites_numbers or reading.trim for reading in readings)
        if numbers == "native" and names.isdisjoint({"text", "time"}) and not rewritten:
            types[column] = tf.float32 if names == {"number"} else tf.int64
    return types


def parse_examples(serialized: tf.Tensor, schema: Schema, numbers: str = "text") -> dict[str, tf.Tensor]:
    """Parses serialized tf.Examples `[B]` into the raw columns, a string tensor `[B]` each."""
    types = feature_types(schema, numbers)
    defaults = {tf.string: "", tf.int64: _MISSING_INTEGER, tf.float32: float("nan")}
    separators = _separators(schema)
    features = {
        column: tf.io.RaggedFeature(dtype)
        if column in separators
        else tf.io.FixedLenFeature([], dtype, default_value=defaults[dtype])
        for column, dtype in types.items()
    }
    parsed = tf.io.parse_example(serialized, features)
    for column, separator in separators.items():
        parsed[column] = tf.strings.reduce_join(parsed[column], axis=1, separator=separator)
    for dtype, as_text in ((tf.int64, _integer_text), (tf.float32, _float_text)):
        columns = [column for column in types if types[column] == dtype]
        if columns:
            texts = tf.unstack(as_text(tf.stack([parsed[column] for column in columns])))
            parsed |= dict(zip(columns, texts, strict=True))
    return {column: parsed[column] for column in types}


def make_examples(columns: Mapping[str, Sequence[str]], schema: Schema, numbers: str = "text") -> list[bytes]:
    """Serializes the rows of raw columns as tf.Examples; in a numeric column, text that is not a number is left out."""
    types, separators = feature_types(schema, numbers), _separators(schema)
    examples = []
    for row in range(len(next(iter(columns.values())))):
        example = tf.train.Example()
        for column, dtype in types.items():
            text, feature = columns[column][row], example.features.feature[column]
            if dtype == tf.string:
                parts = text.split(separators[column]) if column in separators else [text]
                feature.bytes_list.value.extend(part.encode() for part in parts)
            elif (number := _number(text, dtype)) is None:
                del example.features.feature[column]
            else:
                (feature.int64_list if dtype == tf.int64 else feature.float_list).value.append(number)
        examples.append(example.SerializeToString(deterministic=True))
    return examples


def as_carried(columns: Mapping[str, Sequence[str]], schema: Schema, numbers: str) -> dict[str, list[str]]:
    """The columns as `parse_examples` returns them: text that is not a number becomes missing, floats lose digits."""
    types = feature_types(schema, numbers)
    return {
        column: list(text) if types[column] == tf.string else [_number_text(t, types[column]) for t in text]
        for column, text in columns.items()
    }


def _separators(schema: Schema) -> dict[str, str]:
    """The separator of each column that only multi-valued fields read, all with the same separator."""
    found: dict[str, set[str]] = {}
    for field in schema.fields:
        if not field.crossed:
            found.setdefault(field.column, set()).add(field.separator)
    return {column: next(iter(some)) for column, some in found.items() if len(some) == 1 and some != {""}}


def _number(text: str, dtype: tf.DType) -> int | float | None:
    if dtype == tf.int64:
        # Twenty characters hold a sign and the digits of an int64; longer text would be slow to read.
        readable = len(text) <= 20 and re.fullmatch(INTEGER, text, re.ASCII)
        return int(text) if readable and _MISSING_INTEGER < int(text) <= tf.int64.max else None
    if not re.fullmatch(NUMBER, text, re.ASCII):
        return None
    with np.errstate(over="ignore"):
        number = np.float32(text)
    return float(number) if np.isfinite(number) else None


def _number_text(text: str, dtype: tf.DType) -> str:
    number = _number(text, dtype)
    if number is None:
        return ""
    if dtype == tf.int64:
        return str(number)
    return next(t for digits in _DIGITS if np.float32(t := f"{number:.{digits}g}") == np.float32(number))


def _integer_text(v: tf.Tensor) -> tf.Tensor:
    return tf.where(v == _MISSING_INTEGER, "", tf.strings.as_string(v))


def _float_text(v: tf.Tensor) -> tf.Tensor:
    """The shortest text of six to nine digits that gives the same float32, so that 0.1 is not 0.100000001."""
    text = tf.strings.as_string(v, precision=_DIGITS[-1], shortest=True)
    for digits in reversed(_DIGITS[:-1]):
        shorter = tf.strings.as_string(v, precision=digits, shortest=True)
        text = tf.where(tf.strings.to_number(shorter, tf.float32) == v, shorter, text)
    return tf.where(tf.math.is_nan(v), "", text)
