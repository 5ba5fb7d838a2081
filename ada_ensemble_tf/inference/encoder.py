"""Raw columns to the inputs of a model, inside the graph."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from ada_ensemble_tf.inference import transforms
from ada_ensemble_tf.inference.readings import read
from ada_ensemble_tf.inference.request_checks import number_of_rows
from data_pipelines.fields.readings import UNREADABLE
from data_pipelines.fields.schema import PADDING, Field, Schema
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.read.inputs import Inputs

_FIRST_LINE = "<field>=<level>"
"""The asset's first line. TensorFlow's tables refuse an empty file, which fields without levels would give."""


class RawEncoder(tf.Module):
    """`data_pipelines.fields.vocabulary.Vocabularies` in the graph: text of the log's columns to ids and values.

    A level that training did not see, or text that its column's rule cannot read, gets the field's out-of-vocabulary
    row, and any level of a hashed field its bucket's; no text fails a batch. All other fields share one table, and
    fields with the same rule are read at once, because the time for one row depends on the number of operations.
    Columns of plain text are looked up in parallel with the others, whose rules take longer.

    Args:
        schema: the fields.
        data_dir: the directory with the fields' vocabulary files. The SavedModel holds them as an asset.
    """

    def __init__(self, schema: Schema, data_dir: str | Path):
        super().__init__()
        self._schema = schema
        positions = {field.name: i for i, field in enumerate(schema.fields)}
        self._numbers = {name: positions[owner.name] for name, owner in schema.owners.items()}
        # What to add to the asset's line of a level, counted from 0, for the level's row of the table.
        sizes = [0 if field.shared_with else field.vocabulary_size for field in schema.fields]
        lines = 1 + np.cumsum([0, *sizes])
        self._shifts = {name: schema.owners[name].offset + 1 - int(lines[i]) for name, i in self._numbers.items()}
        single = [field for field in schema.fields if not field.separator and not field.buckets]
        hashed = [field for field in schema.fields if not field.separator and field.buckets]
        self._hashed = _by_rule([field for field in hashed if not field.crossed])
        self._crosses = [field for field in hashed if field.crossed]
        plain = [field for field in single if field.transform == "text"]
        ruled = [field for field in single if field.transform != "text"]
        self._lookups = [_by_rule(fields) for fields in (plain, ruled) if fields]
        # The file that becomes an asset; it must stay until the SavedModel is written.
        self._asset = tempfile.TemporaryDirectory()
        self._table = _table(Path(self._asset.name) / "levels.txt", schema, Vocabularies.load(data_dir, schema))

    def __call__(self, columns: Mapping[str, tf.Tensor]) -> Inputs:
        """Turns raw text into the model's inputs; takes one string tensor `[B]` per raw column.

        Returns:
            ids int32 `[B, C]`; if the schema has value fields, {"ids": the ids, "values": float32 `[B, N]`}.

        Raises:
            tf.errors.InvalidArgumentError: at run time, if the columns differ in length; names the column.
        """
        fields, rows = self._schema.fields, number_of_rows(columns)
        single = [field for groups in (*self._lookups, self._hashed) for group in groups for field in group]
        single += self._crosses
        parts = [self._encode_single(columns, groups, rows) for groups in self._lookups]
        parts += [_encode_hashed(columns, group) for group in self._hashed]
        parts += [self._encode_cross(columns, field)[:, None] for field in self._crosses]
        several = [field for field in fields if field.separator]
        parts += [self._encode_list(read(columns[field.column], field.reading), field) for field in several]
        ids = parts[0] if len(parts) == 1 else tf.concat(parts, axis=1)
        made = [field.name for field in single + several for _ in range(field.width)]
        wanted = [field.name for field in fields for _ in range(field.width)]
        if made != wanted:
            first = {name: made.index(name) for name in self._numbers}
            order = [first[field.name] + i for field in fields for i in range(field.width)]
            ids = tf.gather(ids, order, axis=1)
        with_value = [fields[i] for i in self._schema.value_fields]
        if not with_value:
            return ids
        values = [
            transforms.to_values(read(columns[field.column], field.reading), field.transform, field.parameters)
            for field in with_value
        ]
        return {"ids": ids, "values": tf.stack(values, axis=1)}

    def _encode_single(self, columns: Mapping[str, tf.Tensor], groups: list[list[Field]], rows: tf.Tensor) -> tf.Tensor:
        """Ids `[B, number of single-value fields]`, one rule after the other."""
        found = []
        for group in groups:
            text = read(tf.concat([columns[field.column] for field in group], axis=0), group[0].reading)
            found.append(transforms.to_levels(text, group[0].transform, group[0].parameters))
        fields = [field for group in groups for field in group]
        levels = tf.reshape(tf.concat(found, axis=0), [len(fields), rows])
        numbers = np.array([self._numbers[field.name] for field in fields])[:, None]
        prefixes = tf.broadcast_to(tf.constant([[f"{number}="] for (number,) in numbers]), tf.shape(levels))
        offsets, shifts = (np.array(one)[:, None] for one in zip(*map(self._offset_and_shift, fields), strict=True))
        return tf.transpose(self._rows(tf.strings.join([prefixes, levels]), offsets, shifts))

    def _encode_cross(self, columns: Mapping[str, tf.Tensor], field: Field) -> tf.Tensor:
        """Ids `[B]` of a cross: `data_pipelines.fields.crossing` in the graph."""
        levels = [
            transforms.to_levels(read(columns[part.column], part.reading), part.transform, part.parameters)
            for part in self._schema.parts(field)
        ]
        all_missing, unreadable = tf.constant(True), tf.constant(False)
        written: list[tf.Tensor | str] = []
        for level in levels:
            all_missing, unreadable = all_missing & (level == ""), unreadable | (level == UNREADABLE)
            written += [tf.strings.as_string(tf.strings.length(level)), ":", level]
        rows = transforms.hashed_rows(tf.where(all_missing, "", tf.strings.join(written)), field)
        return tf.where(unreadable, tf.constant(field.offset, tf.int32), rows)

    def _encode_list(self, text: tf.Tensor, field: Field) -> tf.Tensor:
        """Ids `[B, width]` of a multi-valued field."""
        parts = tf.strings.split(text, field.separator)
        known = transforms.categories(read(parts.flat_values, field.reading))
        used = known != ""
        parts = tf.RaggedTensor.from_value_rowids(
            tf.boolean_mask(known, used), tf.boolean_mask(parts.value_rowids(), used), parts.nrows()
        )[:, : field.width]
        ids = parts.with_flat_values(self._rows_of(parts.flat_values, field))
        ids = ids.to_tensor(default_value=PADDING, shape=[None, field.width])
        # The field is missing if no value is left.
        first = tf.where(parts.row_lengths() > 0, ids[:, 0], self._rows_of(tf.constant([""]), field))
        return tf.concat([first[:, None], ids[:, 1:]], axis=1)

    def _rows_of(self, level: tf.Tensor, field: Field) -> tf.Tensor:
        if field.buckets:
            return transforms.hashed_rows(level, field)
        keys = tf.strings.join([f"{self._numbers[field.name]}=", level])
        return self._rows(keys, *self._offset_and_shift(field))

    def _offset_and_shift(self, field: Field) -> tuple[int, int]:
        return field.offset, self._shifts[field.name]

    def _rows(self, keys: tf.Tensor, offset: np.ndarray | int, shift: np.ndarray | int) -> tf.Tensor:
        """Row numbers, int32, for keys "number=level" of the fields with these offsets and shifts."""
        line = self._table.lookup(keys)
        return tf.cast(tf.where(line >= 0, line + shift, offset), tf.int32)


def _encode_hashed(columns: Mapping[str, tf.Tensor], group: list[Field]) -> tf.Tensor:
    """Ids `[B, number of fields]` of hashed fields of one reading."""
    text = read(tf.concat([columns[field.column] for field in group], axis=0), group[0].reading)
    levels = tf.split(transforms.categories(text), len(group))
    return tf.stack([transforms.hashed_rows(level, field) for level, field in zip(levels, group, strict=True)], axis=1)


def _by_rule(fields: list[Field]) -> list[list[Field]]:
    """Groups the fields that share a reading, a rule and its parameters."""
    groups: dict[tuple, list[Field]] = {}
    for field in fields:
        # The parameters of a value field do not affect its level.
        parameters = () if field.has_value else field.parameters
        groups.setdefault((field.transform, parameters, field.reading), []).append(field)
    return list(groups.values())


def _table(path: Path, schema: Schema, vocabularies: Vocabularies) -> tf.lookup.StaticHashTable:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(_FIRST_LINE + "\n")
        for number, field in enumerate(schema.fields):
            if not field.shared_with:
                file.writelines(f"{number}={level}\n" for level in vocabularies.levels[field.name])
    initializer = tf.lookup.TextFileInitializer(
        str(path),
        key_dtype=tf.string,
        key_index=tf.lookup.TextFileIndex.WHOLE_LINE,
        value_dtype=tf.int64,
        value_index=tf.lookup.TextFileIndex.LINE_NUMBER,
    )
    return tf.lookup.StaticHashTable(initializer, default_value=-1)
