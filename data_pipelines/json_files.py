"""JSON files with checked content."""

import json
from pathlib import Path
from types import UnionType
from typing import Any

from data_pipelines.errors import UserError
from data_pipelines.output import write_complete


def canonical_json(value: Any) -> str:
    """One text per value: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def save_json(path: str | Path, value: Any) -> None:
    """Writes readable JSON (UTF-8); the file is complete whenever it is there."""
    write_complete(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def load_json(path: str | Path, way_out: str = "prepare the data again") -> Any:
    """Reads a JSON file. Raises UserError, ending in `way_out`, where it is missing or malformed."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: file not found; {way_out}") from None
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error}); {way_out}") from None


def checked_keys(
    value: Any, types: dict[str, type | UnionType], source: str, optional: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Returns `value` if it is a dictionary with these keys and types; only `optional` ones may be missing.

    Raises:
        UserError: naming the source and the first key that is missing, unknown or of the wrong type.
    """
    if not isinstance(value, dict):
        raise UserError(f"{source}: expected an object, got {type(value).__name__}")
    for key in value:
        if key not in types:
            raise UserError(f"{source}: unknown key {key!r}, expected {', '.join(types)}")
    for key, kind in types.items():
        if key not in value:
            if key in optional:
                continue
            raise UserError(f"{source}: key {key!r} is missing")
        if not isinstance(value[key], kind) or (kind is int and isinstance(value[key], bool)):
            raise UserError(f"{source}: {key!r} should be {getattr(kind, '__name__', kind)}, got {value[key]!r}")
    return value
