"""The raw rows of a prepared directory, by split, as tables for models that read numbers as numbers."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_pipelines.errors import UserError
from data_pipelines.fields.columns import codes, distinct
from data_pipelines.fields.declarations import BINNINGS, VALUE_TRANSFORMS
from data_pipelines.fields.readings import read
from data_pipelines.fields.rules import numbers
from data_pipelines.fields.schema import PADDING, Field, Schema
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.prepare.source import Counted, Source, set_cuts
from data_pipelines.prepare.splitting import Times
from data_pipelines.raw import RawChunk
from data_pipelines.raw.lines import CHUNK_BYTES
from data_pipelines.read.preparation import SPLITS, RawFile, load_complete


@dataclasses.dataclass(frozen=True)
class Columns:
    """The rows of one split.

    Attributes:
        levels: ids int64 [n] of each field of one level a row, from 0, which stands for levels without a row.
        numbers: float64 [n] of each field of numbers, NaN where they are missing; and, of each field of several levels
            a row, how often the row has each level, as "field=level".
        label: uint8 [n].
        weight: float32 [n], or None.
    """

    levels: dict[str, np.ndarray]
    numbers: dict[str, np.ndarray]
    label: np.ndarray
    weight: np.ndarray | None


def load_columns(data_dir: str | Path, raw_files: Sequence[str | Path]) -> dict[str, Columns]:
    """The rows of a prepared directory as its raw files have them, by split.

    Levels and splits are those of the directory. Rows are in the order of the files.

    Raises:
        UserError: the directory is not complete, or was prepared from other files.
    """
    schema, preparation = load_complete(data_dir)
    files = tuple(map(Path, raw_files))
    if tuple(map(RawFile.of, files)) != preparation.raw:
        raise UserError(
            f"{data_dir}: not prepared from {', '.join(map(str, files))}; give the files that it was made of"
        )
    if preparation.clicks:
        raise UserError(f"{data_dir}: its labels come from click logs, which this does not join")
    source = Source(preparation.options, files, max_bad_rows=preparation.bad_rows)
    vocabularies = Vocabularies.load(data_dir, schema)
    parts = [_Part(source, chunk, schema, vocabularies) for chunk in source.reader(CHUNK_BYTES)]
    counted = Counted()
    if source.splitter.by_time:
        times = Times()
        for part in parts:
            times.add(part.keys)
        set_cuts(counted, times, source)
    split = np.concatenate(
        [source.splitter.splits(part.keys, part.label, part.row_numbers, counted.cuts) for part in parts]
    )
    found = {name: _rows(parts, split == position) for position, name in enumerate(SPLITS)}
    rows = {name: len(columns.label) for name, columns in found.items()}
    if rows != preparation.rows:
        raise UserError(f"{data_dir}: {preparation.rows} rows, but the raw files give {rows}; prepare the data again")
    return found


class _Part:
    """The columns of one chunk of rows, with what decides their splits."""

    def __init__(self, source: Source, chunk: RawChunk, schema: Schema, vocabularies: Vocabularies):
        assert chunk.label is not None, "the format has a label column"
        self.keys, self.label, self.row_numbers = source.splitter.keys(chunk), chunk.label, chunk.row_numbers
        self.weight = chunk.weight
        ids, start = vocabularies.encode(chunk.columns), 0
        self.levels, self.numbers = {}, {}
        for field in schema.fields:
            own, start = ids[:, start : start + field.width], start + field.width
            if field.transform in BINNINGS + VALUE_TRANSFORMS:
                text = read(distinct(chunk.columns, field.column), field.reading)
                self.numbers[field.name] = numbers(text)[codes(chunk.columns, field.column)]
            elif field.separator:
                self.numbers |= _counts(field, own)
            else:
                self.levels[field.name] = own[:, 0].astype(np.int64) - field.offset


def _counts(field: Field, ids: np.ndarray) -> dict[str, np.ndarray]:
    levels = np.where(ids == PADDING, -1, ids - field.offset)
    return {f"{field.name}={level}": (levels == level).sum(axis=1).astype(np.float64) for level in range(field.size)}


def _rows(parts: Sequence[_Part], chosen: np.ndarray) -> Columns:
    def joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate(arrays)[chosen]

    return Columns(
        levels={name: joined([part.levels[name] for part in parts]) for name in parts[0].levels},
        numbers={name: joined([part.numbers[name] for part in parts]) for name in parts[0].numbers},
        label=joined([part.label for part in parts]),
        weight=None if parts[0].weight is None else joined([part.weight for part in parts if part.weight is not None]),
    )
