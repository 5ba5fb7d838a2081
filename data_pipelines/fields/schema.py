"""The columns of a prepared data set: fields, vocabulary sizes and rows of the fused table.

Legend: B batch, F fields, C columns of ids (F where no field has several values), N fields with values, V rows of
the embedding table that all fields share.
"""

import dataclasses
import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from data_pipelines.errors import UserError
from data_pipelines.fields.declarations import TIME_TRANSFORMS, TRANSFORMS, VALUE_TRANSFORMS, RawFormat
from data_pipelines.fields.hashing import BUCKETS_FROM
from data_pipelines.fields.readings import PLAIN, Reading
from data_pipelines.file_names import file_names
from data_pipelines.json_files import as_type, canonical_json, load_json, save_json

VOCABULARY_DIR, VECTORS_DIR = "vocabulary", "vectors"
PADDING = -1
"""Id in the unused columns of a multi-valued field; it is not a row of the table."""
MAX_WIDTH = 1 << 16
"""Most columns of ids that a field may have, because memory must hold many rows."""


@dataclasses.dataclass(frozen=True)
class Field:
    """One input of the models.

    Attributes:
        name: of the field.
        transform: how raw text becomes a level (see `rules.py`), a key of `declarations.TRANSFORMS`.
        size: rows of the fused embedding table, the out-of-vocabulary row included.
        offset: the field's first row in the fused table, which is its out-of-vocabulary row.
        column: the raw column it reads; "" stands for the field's name, except of crosses, which read none.
        parameters: what the transform learned from the training split: the inner boundaries of equal-frequency
            bins, or mean and standard deviation of values.
        separator: between the values of a multi-valued field; "" for a field of one value.
        width: columns of ids; above 1 for multi-valued fields, whose unused columns hold `PADDING`.
        reading: how its text is read.
        buckets: number of buckets, of a hashed field (see `hashing.py`).
        key: of its hash, two words.
        shared_with: name of the field whose rows it uses; "" for rows of its own.
        crossed: names of the fields whose levels a cross hashes (see `crossing.py`).
        vector_width: numbers of each pre-trained vector (see `vectors.py`); 0 if there are none.
        vector_rows: levels that have one.
        frozen: whether training leaves those levels' rows as they are.
    """

    name: str
    transform: str
    size: int
    offset: int
    column: str = ""
    parameters: tuple[float, ...] = ()
    separator: str = ""
    width: int = 1
    reading: Reading = PLAIN
    buckets: int = 0
    key: tuple[int, ...] = ()
    shared_with: str = ""
    crossed: tuple[str, ...] = ()
    vector_width: int = 0
    vector_rows: int = 0
    frozen: bool = False

    def __post_init__(self) -> None:
        if not self.column and not self.crossed:
            object.__setattr__(self, "column", self.name)

    @property
    def vocabulary_size(self) -> int:
        """Lines of the field's vocabulary file."""
        return 0 if self.buckets else self.size - 1

    def level_text(self, level: int, vocabulary: pl.Series | None) -> str:
        """How messages name a level of the field from 1 on; "" is the missing value.

        Args:
            level: the row within the field.
            vocabulary: the field's levels; None if they are not known.
        """
        if self.buckets:
            return f"bucket {level - BUCKETS_FROM}" if level >= BUCKETS_FROM else ""
        return f"number {level}" if vocabulary is None else vocabulary[level - 1]

    @property
    def has_value(self) -> bool:
        """Whether the field has a float beside its id."""
        return self.transform in VALUE_TRANSFORMS


@dataclasses.dataclass(frozen=True)
class Schema:
    """The inputs of a prepared data set, and how to read more rows of the raw log.

    Ids are rows of one fused table: field offset + level. Level 0 is the field's out-of-vocabulary row and
    level i the i-th line of the field's vocabulary file.

    Attributes:
        format: how the raw files look.
        fields: the F fields in the order of the ids' columns.
    """

    format: RawFormat
    fields: tuple[Field, ...]

    def __post_init__(self) -> None:
        """Raises UserError where fields do not tile the fused table or a transform is unknown."""
        if not self.fields:
            raise UserError("a schema needs at least one field")
        offset = 0
        for field in self.fields:
            if field.transform not in TRANSFORMS:
                raise UserError(
                    f"field {field.name}: unknown transform {field.transform!r}; known: {', '.join(TRANSFORMS)}"
                )
            if field.shared_with:
                self._check_shared(field)
                continue
            if field.size < 1 or field.offset != offset or not 1 <= field.width <= MAX_WIDTH:
                raise UserError(
                    f"field {field.name}: expected size >= 1, width 1 to {MAX_WIDTH} and offset {offset}, "
                    f"got size {field.size}, width {field.width} and offset {field.offset}"
                )
            if list(field.parameters) != sorted(field.parameters) and not field.has_value:
                raise UserError(f"field {field.name}: boundaries of bins should rise, got {field.parameters}")
            if field.transform in TIME_TRANSFORMS and not field.reading.time:
                raise UserError(f"field {field.name}: the form of its times is not known; prepare the data again")
            if (field.transform == "hashed") != bool(field.buckets) or (
                field.buckets and (field.size != field.buckets + BUCKETS_FROM or not _is_key(field.key))
            ):
                raise UserError(
                    f"field {field.name}: a hashed field should have a key of two words and {BUCKETS_FROM} rows more "
                    f"than buckets, got key {field.key}, {field.size} rows and {field.buckets} buckets"
                )
            if field.crossed:
                self._check_crossed(field)
            widths = {one.vector_width for one in self.fields} - {0}
            if len(widths) > 1 or not 0 <= field.vector_rows < field.size or (field.frozen and not field.vector_rows):
                raise UserError(
                    f"field {field.name}: expected vectors of one width for fewer than {field.size} rows, got "
                    f"{field.vector_rows} of {sorted(widths)} numbers; prepare the data again"
                )
            offset += field.size
        check_names([field.name for field in self.fields])
        if offset > 2**31 - 1:
            raise UserError(f"{offset} table rows do not fit int32 ids; raise --min_count or take fewer buckets")

    @property
    def dataset(self) -> str:
        """The data set's name."""
        return self.format.name

    @property
    def num_fields(self) -> int:
        """F."""
        return len(self.fields)

    @cached_property
    def num_rows(self) -> int:
        """V: rows of the fused table."""
        return sum(field.size for field in self.fields if not field.shared_with)

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Columns of ids of each field; they sum to C."""
        return tuple(field.width for field in self.fields)

    @cached_property
    def value_fields(self) -> tuple[int, ...]:
        """Positions of the N fields that have a float beside their id, in the order of the values' columns."""
        return tuple(i for i, field in enumerate(self.fields) if field.has_value)

    @property
    def frozen_rows(self) -> tuple[int, int]:
        """(width, number of table rows) of the vectors that training leaves as they are; 0 and 0 without any."""
        frozen = [field for field in self.fields if field.frozen]
        return (frozen[0].vector_width, sum(field.vector_rows for field in frozen)) if frozen else (0, 0)

    @property
    def has_weight(self) -> bool:
        """Whether rows have weights."""
        return bool(self.format.weight)

    @cached_property
    def owners(self) -> dict[str, Field]:
        """By name of each field, the field whose vocabulary and rows it uses: itself, or one that it shares with."""
        by_name = {field.name: field for field in self.fields}
        return {field.name: by_name[field.shared_with or field.name] for field in self.fields}

    @cached_property
    def vocabulary_files(self) -> dict[str, str]:
        """The vocabulary file of each field by the field's name, relative to the directory."""
        files = file_names(field.name for field in self.fields if not field.shared_with)
        return {name: f"{VOCABULARY_DIR}/{files[owner.name]}.txt" for name, owner in self.owners.items()}

    @cached_property
    def vector_files(self) -> dict[str, str]:
        """The file of pre-trained vectors of each field that has them, by the field's name."""
        files = file_names(field.name for field in self.fields if field.vector_width)
        return {name: f"{VECTORS_DIR}/{file}.npy" for name, file in files.items()}

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The raw columns that the fields read, each once."""
        return tuple(dict.fromkeys(field.column for field in self.fields if not field.crossed))

    def parts(self, field: Field) -> tuple[Field, ...]:
        """The fields that a cross crosses."""
        by_name = {one.name: one for one in self.fields}
        return tuple(by_name[name] for name in field.crossed)

    def _check_crossed(self, field: Field) -> None:
        single = {one.name for one in self.fields if not (one.separator or one.crossed or one.has_value)}
        if not single.issuperset(field.crossed) or field.column or field.separator:
            raise UserError(
                f"field {field.name}: a cross should be of fields of one level a row, got {', '.join(field.crossed)}; "
                "prepare the data again"
            )

    def _check_shared(self, field: Field) -> None:
        owner = next((one for one in self.fields if one.name == field.shared_with), None)
        rows = "transform", "size", "offset", "buckets", "key"
        if owner is None or owner.shared_with or any(getattr(owner, name) != getattr(field, name) for name in rows):
            raise UserError(
                f"field {field.name}: its {', '.join(rows)} should be those of field {field.shared_with!r}, whose rows "
                "it shares; prepare the data again"
            )

    def fingerprint(self) -> str:
        """16 hex digits that differ between schemas (SHA-256 of the canonical JSON)."""
        return hashlib.sha256(canonical_json(self.to_json()).encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """The schema as plain dictionaries and lists."""
        found = msgspec.to_builtins(self)
        fields = [without(_NOT_ASKED_FOR, field) for field in found["fields"]]
        return {"format": without({"weight": ""}, found["format"]), "fields": fields}

    @classmethod
    def from_json(cls, value: Any, source: str = "schema") -> "Schema":
        """The inverse of `to_json`.

        Args:
            value: what `to_json` gave.
            source: named in errors, usually the file's path.

        Raises:
            UserError: a key is missing, unknown or of the wrong type.
        """
        return as_type(value, cls, source)

    def save(self, path: str | Path) -> None:
        """Writes the schema as a JSON file."""
        save_json(path, self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> "Schema":
        """Reads a schema file. Raises UserError where it is missing, damaged or malformed."""
        return load_json(path, cls)


_NOT_ASKED_FOR = {"buckets": 0, "key": [], "shared_with": "", "crossed": []} | {
    "vector_width": 0,
    "vector_rows": 0,
    "frozen": False,
}


def _is_key(key: tuple[int, ...]) -> bool:
    return len(key) == 2 and all(0 <= word < 2**63 for word in key)


def without(defaults: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """A dictionary without the keys whose values are these defaults."""
    return {key: value for key, value in found.items() if key not in defaults or value != defaults[key]}


def check_names(names: list[str]) -> None:
    """Raises UserError where field names repeat."""
    if len(set(names)) != len(names):
        raise UserError(f"field names repeat: {', '.join(sorted(n for n in names if names.count(n) > 1))}")
