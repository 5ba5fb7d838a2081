"""Which levels of a field get a row of their own, and the ids of raw rows.

Levels seen fewer than `min_count` times in the training split share the field's out-of-vocabulary row;
missing is a level like any other (AdaEnsemble, arXiv 2301.08353, section 4.1, with the threshold of the
field's literature).
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl

from data_pipelines.errors import DataError
from data_pipelines.levels import TEXT_NEVER_A_LEVEL, level_codes, level_texts
from data_pipelines.schema import Field, Schema

VOCABULARY_DIR = "vocabulary"
_MERGE_LEVELS = 1 << 20


class LevelCounter:
    """Counts the levels of every field, chunk by chunk.

    Memory grows with the number of distinct levels, not with the number of rows.
    """

    def __init__(self, transforms: Mapping[str, str]):
        """`transforms`: the transform of each field, in the order of the schema's fields."""
        self._transforms = dict(transforms)
        self._merged: dict[str, pl.DataFrame] = {}
        self._pending: dict[str, list[pl.DataFrame]] = {name: [] for name in transforms}

    def add(self, frame: pl.DataFrame) -> None:
        """Counts the levels of raw rows (columns String)."""
        for name, transform in self._transforms.items():
            codes = level_codes(frame[name], transform).alias("level")
            pending = self._pending[name]
            pending.append(codes.to_frame().group_by("level").agg(pl.len().cast(pl.Int64).alias("count")))
            # Merging only once as much is pending as merged keeps the total work proportional to the levels
            # seen.
            merged_levels = self._merged[name].height if name in self._merged else 0
            if sum(part.height for part in pending) > max(merged_levels, _MERGE_LEVELS):
                self._merge(name)

    def frequent_levels(self, name: str, min_count: int) -> pl.Series:
        """Level texts of a field with at least `min_count` rows, by falling count, then by text."""
        counts = self._merge(name).filter(pl.col("count") >= min_count)
        texts = level_texts(counts["level"], self._transforms[name])
        counts = counts.with_columns(texts.alias("level"))
        if self._transforms[name] == "text":
            counts = counts.filter(~pl.col("level").str.contains(TEXT_NEVER_A_LEVEL))
        return counts.sort(["count", "level"], descending=[True, False])["level"]

    def _merge(self, name: str) -> pl.DataFrame:
        parts = [self._merged[name]] if name in self._merged else []
        parts += self._pending[name]
        self._pending[name] = []
        self._merged[name] = pl.concat(parts).group_by("level").agg(pl.col("count").sum())
        return self._merged[name]


class Vocabularies:
    """The levels of every field, and their ids.

    Attributes:
        schema: the fields, with their sizes and offsets.
        levels: level texts of each field in the order of their rows, the out-of-vocabulary row left out.
    """

    def __init__(self, schema: Schema, levels: Mapping[str, pl.Series]):
        """Raises DataError where the number of levels is not what the schema says."""
        self.schema, self.levels = schema, dict(levels)
        self._enums: dict[str, pl.Enum] = {}
        for field in schema.fields:
            count = len(self.levels[field.name])
            if count != field.size - 1:
                raise DataError(f"field {field.name}: {count} levels in the vocabulary, but {field.size - 1} expected")
            self._enums[field.name] = pl.Enum(self.levels[field.name])
        self._threads = ThreadPoolExecutor(os.cpu_count())

    @classmethod
    def from_levels(
        cls, dataset: str, label: str, transforms: Mapping[str, str], levels: Mapping[str, pl.Series]
    ) -> "Vocabularies":
        """Builds the schema from each field's transform and levels."""
        fields: list[Field] = []
        offset = 0
        for name, transform in transforms.items():
            fields.append(Field(name, transform, len(levels[name]) + 1, offset))
            offset += fields[-1].size
        return cls(Schema(dataset, label, tuple(fields)), levels)

    @classmethod
    def load(cls, data_dir: str | Path, schema: Schema) -> "Vocabularies":
        """Reads the vocabulary files of a prepared directory.

        Raises:
            DataError: a file is missing, is not UTF-8 text, repeats a level or does not match the schema.
        """
        levels = {}
        for field in schema.fields:
            path = vocabulary_path(data_dir, field.name)
            levels[field.name] = pl.Series(field.name, _read_levels(path), pl.String)
            if levels[field.name].n_unique() != len(levels[field.name]):
                raise DataError(f"{path}: a level is listed twice; prepare the data again")
            if len(levels[field.name]) != field.size - 1:
                raise DataError(
                    f"{path}: {len(levels[field.name])} levels, but the schema has {field.size - 1}; "
                    "prepare the data again"
                )
        return cls(schema, levels)

    def save(self, data_dir: str | Path) -> dict[str, int]:
        """Writes vocabulary/<field>.txt: UTF-8, one level a line. Returns each file's bytes by field."""
        sizes = {}
        for name, levels in self.levels.items():
            path = vocabulary_path(data_dir, name)
            path.parent.mkdir(exist_ok=True)
            data = "".join(f"{level}\n" for level in levels).encode("utf-8")
            path.write_bytes(data)
            sizes[name] = len(data)
        return sizes

    def encode(self, frame: pl.DataFrame) -> np.ndarray:
        """Ids of raw rows (columns String, as `read_raw` gives them): int32 [n, F], C-contiguous.

        Levels without a row of their own get the field's out-of-vocabulary row.
        """
        ids = np.empty((frame.height, self.schema.num_fields), np.int32)

        def encode_field(position: int) -> None:
            field = self.schema.fields[position]
            ids[:, position] = self._encode_column(frame[field.name], field)

        list(self._threads.map(encode_field, range(self.schema.num_fields)))
        return ids

    def _encode_column(self, text: pl.Series, field: Field) -> np.ndarray:
        enum, codes = self._enums[field.name], level_codes(text, field.transform)
        if field.transform == "text":
            return _rows(codes, enum, field.offset).to_numpy()
        # Few distinct numbers: making level texts of these alone saves formatting every row's.
        distinct = codes.unique()
        rows = _rows(level_texts(distinct, field.transform), enum, field.offset)
        return codes.replace_strict(distinct, rows, return_dtype=pl.Int32).to_numpy()


def vocabulary_path(data_dir: str | Path, field: str) -> Path:
    """The vocabulary file of a field."""
    return Path(data_dir) / VOCABULARY_DIR / f"{field}.txt"


def _rows(levels: pl.Series, enum: pl.Enum, offset: int) -> pl.Series:
    positions = levels.cast(enum, strict=False).to_physical().cast(pl.Int32)
    return (positions + (offset + 1)).fill_null(offset)


def _read_levels(path: Path) -> Sequence[str]:
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise DataError(f"{path}: vocabulary file not found; prepare the data again") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not valid UTF-8 ({error}); prepare the data again") from None
    if text and not text.endswith("\n"):
        raise DataError(f"{path}: the last line is cut off; prepare the data again")
    return text.split("\n")[:-1]
