"""What the columns of a prepared data set are: fields, vocabulary sizes and rows of the fused table.

Legend: B batch, F fields, C columns of ids (F where no field has several values), N fields with values, V rows of
the embedding table that all fields share.
"""

import dataclasses
import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any

from data_pipelines.errors import UserError
from data_pipelines.fields.declarations import TIME_TRANSFORMS, TRANSFORMS, VALUE_TRANSFORMS, RawFormat, later
from data_pipelines.fields.readings import PLAIN, Reading
from data_pipelines.json_files import canonical_json, checked_keys, load_json, save_json

PADDING = -1
"""The id of a multi-valued field's unused columns: no row of the table."""


@dataclasses.dataclass(frozen=True)
class Field:
    """One input of the models.

    Attributes:
        name: of the field.
        transform: how raw text becomes a level (see `levels.py`), a key of `raw_format.TRANSFORMS`.
        size: rows of the fused embedding table, the out-of-vocabulary row included.
        offset: the field's first row in the fused table, which is its out-of-vocabulary row.
        column: the raw column it reads; "" is the column of the field's name.
        parameters: what the transform learned from the training split: the inner boundaries of equal-frequency
            bins, or mean and standard deviation of values.
        separator: of a multi-valued field's values within the text; "" is a field of one value.
        width: columns of ids; above 1 for multi-valued fields, whose unused columns hold `PADDING`.
        reading: how its text is read.
    """

    name: str
    transform: str
    size: int
    offset: int
    column: str = ""
    parameters: tuple[float, ...] = ()
    separator: str = ""
    width: int = 1
    reading: Reading = later(PLAIN)

    def __post_init__(self) -> None:
        if not self.column:
            object.__setattr__(self, "column", self.name)

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
            if field.size < 1 or field.offset != offset or field.width < 1:
                raise UserError(
                    f"field {field.name}: expected size and width >= 1 and offset {offset}, "
                    f"got size {field.size}, width {field.width} and offset {field.offset}"
                )
            if field.transform in TIME_TRANSFORMS and not field.reading.time:
                raise UserError(f"field {field.name}: the form of its times is not known; prepare the data again")
            offset += field.size
        check_names([field.name for field in self.fields])
        if offset > 2**31 - 1:
            raise UserError(f"{offset} table rows do not fit int32 ids; raise --min_count")

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
        return sum(field.size for field in self.fields)

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Columns of ids of each field; they sum to C."""
        return tuple(field.width for field in self.fields)

    @cached_property
    def value_fields(self) -> tuple[int, ...]:
        """Positions of the N fields that have a float beside their id, in the order of the values' columns."""
        return tuple(i for i, field in enumerate(self.fields) if field.has_value)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The raw columns that the fields read, each once."""
        return tuple(dict.fromkeys(field.column for field in self.fields))

    def fingerprint(self) -> str:
        """16 hex digits that differ between schemas (SHA-256 of the canonical JSON)."""
        return hashlib.sha256(canonical_json(self.to_json()).encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """The schema as plain dictionaries and lists."""
        return {"format": plain(self.format), "fields": [plain(field) for field in self.fields]}

    @classmethod
    def from_json(cls, value: Any, source: str = "schema") -> "Schema":
        """The inverse of `to_json`.

        Args:
            value: what `to_json` gave.
            source: named in errors, usually the file's path.

        Raises:
            UserError: a key is missing, unknown or of the wrong type.
        """
        value = checked_keys(value, {"format": dict, "fields": list}, source)
        fields = tuple(from_plain(Field, field, f"{source}, fields[{i}]") for i, field in enumerate(value["fields"]))
        raw_format = from_plain(RawFormat, value["format"], f"{source}, format")
        try:
            return cls(raw_format, fields)
        except UserError as error:
            raise UserError(f"{source}: {error}") from None

    def save(self, path: str | Path) -> None:
        """Writes the schema as a JSON file."""
        save_json(path, self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> "Schema":
        """Reads a schema file. Raises UserError where it is missing or malformed."""
        return cls.from_json(load_json(path), str(path))


def check_names(names: list[str]) -> None:
    """Raises UserError where field names repeat."""
    if len(set(names)) != len(names):
        raise UserError(f"field names repeat: {', '.join(sorted(n for n in names if names.count(n) > 1))}")


def plain(value: Any) -> dict[str, Any]:
    """A dataclass of simple values as a dictionary as JSON has it (lists, no tuples)."""
    found = {}
    for one in dataclasses.fields(value):
        item = getattr(value, one.name)
        if not one.metadata.get("later") or item != one.default:
            is_nested = dataclasses.is_dataclass(item)
            found[one.name] = plain(item) if is_nested else list(item) if isinstance(item, tuple) else item
    return found


def from_plain(cls: type, value: Any, source: str) -> Any:
    """The inverse of `plain`. Raises UserError, naming `source`, where `value` does not fit."""
    if not isinstance(value, dict):
        raise UserError(f"{source}: expected an object, got {type(value).__name__}")
    kinds = {}
    for field in dataclasses.fields(cls):
        text = str(field.type)
        if not (text.endswith("| None") and value.get(field.name, ...) is None):
            kinds[field.name] = next(kind for name, kind in _PLAIN_KINDS.items() if name in text)
    nested = {one.name: type(one.default) for one in dataclasses.fields(cls) if dataclasses.is_dataclass(one.default)}
    value = {
        key: from_plain(nested[key], item, f"{source}, {key}") if key in nested else item for key, item in value.items()
    }
    kinds |= nested
    nothing = {key: None for key in value if value[key] is None and key not in kinds and hasattr(cls, key)}
    later = tuple(field.name for field in dataclasses.fields(cls) if field.metadata.get("later"))
    checked_keys({key: item for key, item in value.items() if key not in nothing}, kinds, source, optional=later)
    return cls(**{key: tuple(item) if isinstance(item, list) else item for key, item in value.items()})


_PLAIN_KINDS = {"Reading": dict, "tuple": list, "str": str, "bool": bool, "int": int, "float": float}
"""What JSON has for each type of a field; the first name that a type's text holds counts."""
