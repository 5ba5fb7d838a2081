"""Which levels of a field get a row of their own, and the ids of raw rows.

Levels seen fewer than `min_count` times in the training split share the field's out-of-vocabulary row;
missing is a level like any other (AdaEnsemble, arXiv 2301.08353, section 4.1, with the threshold of the
field's literature). Hashed fields have buckets instead of levels.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from data_pipelines.checksums import Checksums, way_out_of
from data_pipelines.errors import UserError
from data_pipelines.fields.canonical import canonical
from data_pipelines.fields.columns import THREADS, codes, distinct
from data_pipelines.fields.counting import LevelCounts
from data_pipelines.fields.crossing import crossed_levels
from data_pipelines.fields.declarations import VALUE_TRANSFORMS, Input, RawFormat
from data_pipelines.fields.extension import UNSEEN_FILE, Base, unseen_bytes
from data_pipelines.fields.hashing import BUCKETS_FROM, field_key, hashed_rows
from data_pipelines.fields.level_index import LevelIndex
from data_pipelines.fields.readings import UNREADABLE, read
from data_pipelines.fields.rules import BIN_PREFIX, VALUE, split_values, to_levels, to_values
from data_pipelines.fields.schema import PADDING, Field, Schema

NO_LEVELS = pl.Series([], dtype=pl.String)
"""Those of a hashed field."""


class Vocabularies:
    """The levels of every field, and their ids.

    Attributes:
        schema: the fields, with their sizes and offsets.
        levels: level texts of each field in the order of their rows, the out-of-vocabulary row left out.
        unseen: for how many preparations each level has been unseen, by field, where others were extended.
    """

    def __init__(self, schema: Schema, levels: Mapping[str, pl.Series]):
        """Raises UserError where the number of levels is not what the schema says."""
        self.schema, self.levels = schema, dict(levels)
        self.unseen: dict[str, np.ndarray] | None = None
        self._indices: dict[str, LevelIndex] = {}
        for field in schema.fields:
            count = len(self.levels[field.name])
            if count != field.vocabulary_size:
                raise UserError(
                    f"field {field.name}: {count} levels in the vocabulary, but {field.vocabulary_size} expected"
                )
            if not field.shared_with:
                self._indices[field.name] = LevelIndex(self.levels[field.name])
        self._starts = np.cumsum([0, *schema.widths])

    @classmethod
    def from_levels(
        cls,
        raw_format: RawFormat,
        inputs: Sequence[Input],
        levels: Mapping[str, pl.Series],
        parameters: Mapping[str, tuple[float, ...]] | None = None,
        widths: Mapping[str, int] | None = None,
        seed: int = 0,
    ) -> "Vocabularies":
        """Builds the schema.

        Args:
            raw_format: how the raw files look.
            inputs: the fields.
            levels: those of each input; hashed ones and those that share another one's need none.
            parameters: what transforms learned, by field.
            widths: columns of ids, by multi-valued field.
            seed: of hashed fields.
        """
        levels = {one.name: NO_LEVELS if one.buckets else levels[one.shared_with or one.name] for one in inputs}
        sizes = {one.name: one.buckets + BUCKETS_FROM if one.buckets else len(levels[one.name]) + 1 for one in inputs}
        owners = [one.name for one in inputs if not one.shared_with]
        ends = np.cumsum([sizes[name] for name in owners]).tolist()
        offsets = {name: end - sizes[name] for name, end in zip(owners, ends, strict=True)}
        fields = []
        for one in inputs:
            owner = one.shared_with or one.name
            fields.append(
                Field(
                    one.name,
                    one.transform,
                    sizes[one.name],
                    offsets[owner],
                    one.column,
                    (parameters or {}).get(one.name, ()),
                    one.separator,
                    (widths or {}).get(one.name, 1),
                    one.reading,
                    one.buckets,
                    field_key(owner, seed) if one.buckets else (),
                    one.shared_with,
                    one.crossed,
                )
            )
        return cls(Schema(raw_format, tuple(fields)), levels)

    @classmethod
    def from_counts(
        cls,
        raw_format: RawFormat,
        inputs: Sequence[Input],
        counter: LevelCounts,
        min_count: int,
        parameters: Mapping[str, tuple[float, ...]],
        check_levels: Callable[[int], None] = lambda levels: None,
        seed: int = 0,
        base: Base | None = None,
    ) -> "Vocabularies":
        """Keeps the levels that are frequent enough.

        Args:
            raw_format: how the raw files look.
            inputs: the fields.
            counter: their levels in the training split.
            min_count: threshold of fields that declare none.
            parameters: what transforms learned, by field.
            check_levels: called with the number of levels so far; may raise.
            seed: of hashed fields.
            base: vocabularies to extend, if there are any.
        """
        if base is not None:
            parameters = base.parameters
        kept: dict[str, pl.Series] = {}
        unseen: dict[str, np.ndarray] = {}
        for one in inputs:
            if one.buckets or one.shared_with:
                unseen[one.name] = np.empty(0, np.uint16)
                continue
            least, fixed = one.min_count or min_count, _fixed_levels(one, parameters)
            if base is not None:
                kept[one.name], unseen[one.name] = base.extended(one, counter, least, fixed)
            else:
                frequent = counter.frequent_levels(one.name, least)["level"]
                kept[one.name] = pl.concat([fixed, frequent.filter(frequent == "")]) if len(fixed) else frequent
            check_levels(sum(map(len, kept.values())))
        widths = {one.name: min(one.max_values, counter.longest(one.name)) for one in inputs if one.separator}
        if base is not None:
            widths = {name: max(width, base.field(name).width) for name, width in widths.items()}
        made = cls.from_levels(raw_format, inputs, kept, parameters, widths, seed)
        made.unseen = unseen if base is not None else None
        return made

    @classmethod
    def load(cls, data_dir: str | Path, schema: Schema) -> "Vocabularies":
        """Reads the vocabulary files of a prepared directory.

        Raises:
            UserError: a file is missing, damaged, not UTF-8 text, repeats a level, has a level of an earlier version or
                does not match the schema.
        """
        found, checksums = {}, Checksums(data_dir)
        for field in schema.fields:
            if field.shared_with:
                continue
            file = schema.vocabulary_files[field.name]
            path, way_out = checksums.directory / file, way_out_of(data_dir)
            found[field.name] = pl.Series(field.name, _levels(checksums.read(file), path, way_out), pl.String)
            if found[field.name].n_unique() != len(found[field.name]):
                raise UserError(f"{path}: a level is listed twice; {way_out}")
            if len(found[field.name]) != field.vocabulary_size:
                raise UserError(
                    f"{path}: {len(found[field.name])} levels, but the schema has {field.vocabulary_size}; {way_out}"
                )
            if field.has_value and len(field.parameters) != 2:
                raise UserError(
                    f"{checksums.directory / 'schema.json'}: field {field.name}: expected mean and deviation as "
                    f"parameters, got {field.parameters}; {way_out}"
                )
            if field.transform == "text":
                _check_canonical(found[field.name], path)
        return cls(schema, {name: found[owner.name] for name, owner in schema.owners.items()})

    def save(self, data_dir: str | Path) -> None:
        """Writes a file for each field into `vocabulary/`: UTF-8, one level a line. Their checksums are listed."""
        files, checksums = self.schema.vocabulary_files, Checksums(data_dir)
        checksums.write_new(
            (files[name], "".join(f"{level}\n" for level in known).encode("utf-8"))
            for name, known in self.levels.items()
            if self.schema.owners[name].name == name
        )
        if self.unseen is not None:
            checksums.write_new([(UNSEEN_FILE, unseen_bytes(self.unseen, self.schema))])

    def encode(self, columns: pa.RecordBatch) -> np.ndarray:
        """Ids of raw rows (as `RawReader` gives them): int32 [n, C], C-contiguous.

        Levels without a row of their own get the field's out-of-vocabulary row; the unused columns of
        multi-valued fields are `PADDING`.
        """
        ids = np.empty((columns.num_rows, int(self._starts[-1])), np.int32)

        def encode_field(position: int) -> None:
            field, start = self.schema.fields[position], self._starts[position]
            if field.crossed:
                ids[:, start] = self._crossed(columns, field)
                return
            known = self._rows(read(distinct(columns, field.column), field.reading), field)
            ids[:, start : start + field.width] = known[codes(columns, field.column)]

        list(THREADS.map(encode_field, range(self.schema.num_fields)))
        return ids

    def values(self, columns: pa.RecordBatch) -> np.ndarray:
        """The floats beside the ids of raw rows: float32 [n, N]."""
        found = np.empty((columns.num_rows, len(self.schema.value_fields)), np.float32)
        for position, index in enumerate(self.schema.value_fields):
            field = self.schema.fields[index]
            known = to_values(read(distinct(columns, field.column), field.reading), field.transform, field.parameters)
            found[:, position] = known[codes(columns, field.column)]
        return found

    def _rows(self, text: pl.Series, field: Field) -> np.ndarray:
        """Ids int32 [d, width] of texts [d] as the field reads them."""
        if field.width == 1 and not field.separator:
            return self._ids(to_levels(text, field.transform, field.parameters), field)[:, None]
        lists = split_values(text, field.separator, field.reading).list.head(field.width)
        lengths = lists.list.len().to_numpy()
        rows = np.full((len(text), field.width), PADDING, np.int32)
        # A row's values fill its first columns, so flat values are assigned row by row.
        rows[np.arange(field.width) < lengths[:, None]] = self._ids(lists.explode(), field)
        return rows

    def _crossed(self, columns: pa.RecordBatch, field: Field) -> np.ndarray:
        """Ids int32 [n] of a cross."""
        text, code = crossed_levels(columns, self.schema.parts(field))
        rows = np.where((text == UNREADABLE).to_numpy(), field.offset, self._ids(text, field))
        return rows.astype(np.int32)[code]

    def _ids(self, known: pl.Series, field: Field) -> np.ndarray:
        if field.buckets:
            return (hashed_rows(known, field.buckets, field.key) + field.offset).astype(np.int32)
        # An unknown level has position -1, which gives the field's first row, the out-of-vocabulary row.
        return (self._indices[field.shared_with or field.name].positions(known) + (field.offset + 1)).astype(np.int32)


def _fixed_levels(field: Input, parameters: Mapping[str, tuple[float, ...]]) -> pl.Series:
    """Levels that a field has even if they are rare, beside the missing one: its bins, or the value's level."""
    if field.transform in VALUE_TRANSFORMS:
        return pl.Series([VALUE])
    bins = len(parameters[field.name]) + 1 if field.transform == "equal_frequency" else 0
    return pl.Series([f"{BIN_PREFIX}{i}" for i in range(bins)], dtype=pl.String)


def _check_canonical(levels: pl.Series, path: Path) -> None:
    other = levels.filter(canonical(levels) != levels)
    if len(other):
        raise UserError(
            f"{path}: level {other[0]!r} is of an earlier version, which knew one id by several texts; "
            "prepare the data again and train again"
        )


def vocabulary_path(data_dir: str | Path, schema: Schema, field: str) -> Path:
    """The vocabulary file of a field."""
    return Path(data_dir) / schema.vocabulary_files[field]


def _levels(data: bytes, path: Path, way_out: str) -> Sequence[str]:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not valid UTF-8 ({error}); {way_out}") from None
    if text and not text.endswith("\n"):
        raise UserError(f"{path}: the last line is cut off; {way_out}")
    return text.split("\n")[:-1]
