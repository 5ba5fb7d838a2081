"""Raw columns to the inputs of a model, inside the graph."""

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import tensorflow as tf

from ada_ensemble_tf.layers.embedding import Inputs
from ada_ensemble_tf.serving import transforms
from data_pipelines.schema import PADDING, Field, Schema
from data_pipelines.vocabulary import Vocabularies

_ASSET_PREFIX = "="
"""Begins each line of an asset: TensorFlow's tables refuse the empty line that the missing value's level would be."""


class RawEncoder(tf.Module):
    """The graph's twin of `data_pipelines.vocabulary.Vocabularies`: text of the log's columns to ids and values.

    A level that training did not see, and text that its column's rule cannot read, gets the field's out-of-vocabulary
    row; no text fails a batch.

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

    def __call__(self, columns: Mapping[str, tf.Tensor]) -> Inputs:
        """The model's inputs of raw text, one string tensor `[B]` a raw column.

        Returns:
            ids int32 `[B, C]`, or where the schema has fields with values {"ids": them, "values": float32 `[B, N]`}.
        """
        fields = self._schema.fields
        ids = tf.concat([self._encode(columns[field.column], field) for field in fields], axis=1)
        with_value = [fields[i] for i in self._schema.value_fields]
        if not with_value:
            return ids
        values = [transforms.values(columns[field.column], field.transform, field.parameters) for field in with_value]
        return {"ids": ids, "values": tf.stack(values, axis=1)}

    def _encode(self, text: tf.Tensor, field: Field) -> tf.Tensor:
        """Ids `[B, width]`."""
        if not field.separator:
            return self._rows(transforms.levels(text, field.transform, field.parameters), field)[:, None]
        parts = tf.strings.split(text, field.separator)
        used = parts.flat_values != ""
        parts = tf.RaggedTensor.from_value_rowids(
            tf.boolean_mask(parts.flat_values, used), tf.boolean_mask(parts.value_rowids(), used), parts.nrows()
        )[:, : field.width]
        ids = parts.with_flat_values(self._rows(parts.flat_values, field))
        ids = ids.to_tensor(default_value=PADDING, shape=[None, field.width])
        # Where no value is left, the field is missing.
        first = tf.where(parts.row_lengths() > 0, ids[:, 0], self._rows(tf.constant([""]), field))
        return tf.concat([first[:, None], ids[:, 1:]], axis=1)

    def _rows(self, level: tf.Tensor, field: Field) -> tf.Tensor:
        """Row numbers int32 of level texts."""
        if field.name not in self._tables:
            return tf.fill(tf.shape(level), field.offset)
        line = self._tables[field.name].lookup(tf.strings.join([_ASSET_PREFIX, level]))
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
