"""Raw columns to ids, inside the graph."""

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import tensorflow as tf

from data_pipelines import levels
from data_pipelines.schema import Field, Schema
from data_pipelines.vocabulary import Vocabularies

_ASSET_PREFIX = "="
"""Begins each line of an asset: TensorFlow's tables refuse the empty line that the missing value's level would be."""
_LOW_DIGITS = 9
_LARGEST_HIGH, _LARGEST_LOW = divmod(tf.int64.max, 10**_LOW_DIGITS)
_DIGITS = len(str(tf.int64.max))


class RawEncoder(tf.Module):
    """The graph's twin of `data_pipelines.vocabulary.Vocabularies.encode`: text of the log's columns to ids.

    A level that training did not see, and in a numeric column a text that is no int64, gets the field's
    out-of-vocabulary row; empty text is missing.

    Args:
        schema: the fields.
        data_dir: the directory with their vocabulary files, which become assets of a SavedModel.
    """

    def __init__(self, schema: Schema, data_dir: str | Path):
        super().__init__()
        self._schema = schema
        vocabularies = Vocabularies.load(data_dir, schema)
        # The files that become assets; they must stay until the SavedModel is written.
        self._assets = tempfile.TemporaryDirectory()
        self._tables = {
            field.name: _table(Path(self._assets.name) / f"{field.name}.txt", vocabularies.levels[field.name])
            for field in schema.fields
            if field.size > 1
        }

    def __call__(self, columns: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Ids int32 `[B, F]` of raw text, one string tensor `[B]` a field."""
        return tf.stack([self._encode(columns[field.name], field) for field in self._schema.fields], axis=1)

    def _encode(self, text: tf.Tensor, field: Field) -> tf.Tensor:
        if field.name not in self._tables:
            return tf.fill(tf.shape(text), field.offset)
        line = self._tables[field.name].lookup(tf.strings.join([_ASSET_PREFIX, _levels(text, field.transform)]))
        # The table's default, -1, leads to the field's first row, which is the out-of-vocabulary one.
        return tf.cast(field.offset + 1 + line, tf.int32)


def _table(path: Path, levels: Iterable[str]) -> tf.lookup.StaticHashTable:
    path.write_bytes("".join(f"{_ASSET_PREFIX}{level}\n" for level in levels).encode("utf-8"))
    initializer = tf.lookup.TextFileInitializer(
        str(path),
        key_dtype=tf.string,
        key_index=tf.lookup.TextFileIndex.WHOLE_LINE,
        value_dtype=tf.int64,
        value_index=tf.lookup.TextFileIndex.LINE_NUMBER,
    )
    return tf.lookup.StaticHashTable(initializer, default_value=-1)


def _levels(text: tf.Tensor, transform: str) -> tf.Tensor:
    """Level text of raw text; the same rules as `data_pipelines.levels.levels`."""
    if transform == "text":
        return text
    value, readable = _int64(text)
    if transform == "log_square":
        number = tf.searchsorted(tf.constant(levels.LOG_SQUARE_BOUNDARIES), value, side="right")
        logarithmic = tf.strings.join([levels.LOG_PREFIX, tf.strings.as_string(number)])
        exact = tf.strings.join([levels.EXACT_PREFIX, tf.strings.as_string(value)])
        level = tf.where(value > levels.LARGEST_EXACT, logarithmic, exact)
    elif transform == "log_of_square":
        magnitude = tf.abs(tf.maximum(value, -tf.int64.max))
        number = tf.strings.as_string(
            tf.searchsorted(tf.constant(levels.LOG_OF_SQUARE_BOUNDARIES), magnitude, side="right")
        )
        positive = tf.strings.join([levels.LOG_PREFIX, number])
        negative = tf.strings.join([levels.NEGATIVE_LOG_PREFIX, number])
        level = tf.where(value > 0, positive, tf.where(value < 0, negative, levels.EXACT_PREFIX + "0"))
    else:
        raise ValueError(f"unknown transform {transform!r}")
    # Text that is no integer keeps a form that no vocabulary holds; the missing value's is the empty text.
    return tf.where(readable, level, tf.where(text == "", "", "unreadable"))


def _int64(text: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(values, whether the text is an int64; 0 where it is not).

    tf.strings.to_number fails the whole batch at a text that does not fit, so digits are read in two halves.
    """
    negative = tf.strings.regex_full_match(text, "-.*")
    digits = tf.strings.regex_replace(text, "^-?0*", "")
    integer = tf.strings.regex_full_match(text, "-?[0-9]+") & (tf.strings.length(digits) <= _DIGITS)
    digits = tf.strings.join(["0" * _DIGITS, tf.where(integer, digits, "")])
    digits = tf.strings.substr(digits, tf.strings.length(digits) - _DIGITS, tf.fill(tf.shape(digits), _DIGITS))
    high = tf.strings.to_number(tf.strings.substr(digits, 0, _DIGITS - _LOW_DIGITS), tf.int64)
    low = tf.strings.to_number(tf.strings.substr(digits, _DIGITS - _LOW_DIGITS, _LOW_DIGITS), tf.int64)
    largest_low = _LARGEST_LOW + tf.cast(negative, tf.int64)
    fits = (high < _LARGEST_HIGH) | ((high == _LARGEST_HIGH) & (low <= largest_low))
    sign = tf.where(negative, tf.constant(-1, tf.int64), 1)
    value = sign * high * 10**_LOW_DIGITS + sign * low
    readable = integer & fits
    return tf.where(readable, value, 0), readable
