"""What the columns of a prepared data set are: fields, vocabulary sizes and rows of the fused table.

Legend: B batch, F fields, V rows of the embedding table that all fields share.
"""

import dataclasses
import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

from data_pipelines.errors import DataError

TRANSFORMS = ("text", "log_square", "log_of_square")


@dataclasses.dataclass(frozen=True)
class Field:
    """One categorical input of the models.

    Attributes:
        name: the raw log's column name.
        transform: how raw text becomes a level, one of `TRANSFORMS` (see `levels.py`).
        size: rows of the fused embedding table, the out-of-vocabulary row included.
        offset: the field's first row in the fused table, which is its out-of-vocabulary row.
    """

    name: str
    transform: str
    size: int
    offset: int


@dataclasses.dataclass(frozen=True)
class Schema:
    """The inputs of a prepared data set.

    Ids are rows of one fused table: field offset + level. Level 0 is the field's out-of-vocabulary row and
    level i the i-th line of the field's vocabulary file.

    Attributes:
        dataset: name of the raw format, e.g. "criteo".
        label: the raw log's label column.
        fields: the F fields in the order of the ids' columns.
    """

    dataset: str
    label: str
    fields: tuple[Field, ...]

    def __post_init__(self) -> None:
        """Raises DataError where fields do not tile the fused table or a transform is unknown."""
        offset = 0
        for field in self.fields:
            if field.transform not in TRANSFORMS:
                raise DataError(
                    f"field {field.name}: unknown transform {field.transform!r}; known: {', '.join(TRANSFORMS)}"
                )
            if field.size < 1 or field.offset != offset:
                raise DataError(
                    f"field {field.name}: expected size >= 1 and offset {offset}, "
                    f"got size {field.size} and offset {field.offset}"
                )
            offset += field.size
        names = [field.name for field in self.fields]
        if len(set(names)) != len(names):
            raise DataError(f"field names repeat: {', '.join(sorted(n for n in names if names.count(n) > 1))}")
        if offset > 2**31 - 1:
            raise DataError(f"{offset} table rows do not fit int32 ids; raise --min_count")

    @property
    def num_fields(self) -> int:
        """F."""
        return len(self.fields)

    @cached_property
    def num_rows(self) -> int:
        """V: rows of the fused table."""
        return sum(field.size for field in self.fields)

    def fingerprint(self) -> str:
        """16 hex digits that differ between schemas (SHA-256 of the canonical JSON)."""
        return hashlib.sha256(canonical_json(self.to_json()).encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """The schema as plain dictionaries and lists."""
        return dataclasses.asdict(self) | {"fields": [dataclasses.asdict(field) for field in self.fields]}

    @classmethod
    def from_json(cls, value: Any, source: str = "schema") -> "Schema":
        """The inverse of `to_json`.

        Args:
            value: what `to_json` gave.
            source: named in errors, usually the file's path.

        Raises:
            DataError: a key is missing, unknown or of the wrong type.
        """
        value = checked_keys(value, {"dataset": str, "label": str, "fields": list}, source)
        types = {"name": str, "transform": str, "size": int, "offset": int}
        fields = tuple(
            Field(**checked_keys(field, types, f"{source}, fields[{i}]")) for i, field in enumerate(value["fields"])
        )
        try:
            return cls(value["dataset"], value["label"], fields)
        except DataError as error:
            raise DataError(f"{source}: {error}") from None

    def save(self, path: str | Path) -> None:
        """Writes the schema as a JSON file."""
        save_json(path, self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> "Schema":
        """Reads a schema file. Raises DataError where it is missing or malformed."""
        return cls.from_json(load_json(path), str(path))


def canonical_json(value: Any) -> str:
    """One text per value: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def save_json(path: str | Path, value: Any) -> None:
    """Writes readable JSON (UTF-8)."""
    Path(path).write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load_json(path: str | Path) -> Any:
    """Reads a JSON file. Raises DataError where it is missing or malformed."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: file not found; prepare the data again") from None
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON ({error}); prepare the data again") from None


def checked_keys(value: Any, types: dict[str, type], source: str) -> dict[str, Any]:
    """Returns `value` if it is a dictionary with exactly these keys and types.

    Raises:
        DataError: naming the source and the first key that is missing, unknown or of the wrong type.
    """
    if not isinstance(value, dict):
        raise DataError(f"{source}: expected an object, got {type(value).__name__}")
    for key in value:
        if key not in types:
            raise DataError(f"{source}: unknown key {key!r}, expected {', '.join(types)}")
    for key, kind in types.items():
        if key not in value:
            raise DataError(f"{source}: key {key!r} is missing")
        if not isinstance(value[key], kind) or (kind is int and isinstance(value[key], bool)):
            raise DataError(f"{source}: {key!r} should be {kind.__name__}, got {value[key]!r}")
    return value
