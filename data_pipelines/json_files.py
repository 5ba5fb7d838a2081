"""Reading and writing JSON files with validation."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, overload

import msgspec

from data_pipelines.checksums import Checksums, way_out_of
from data_pipelines.errors import UserError

T = TypeVar("T")
_SHOWN = 60


def canonical_json(value: Any) -> str:
    """JSON text that is the same for equal values: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def json_bytes(value: Any) -> bytes:
    """Readable JSON (UTF-8). Numbers that are not finite become null, because JSON has no form for them."""
    return (json.dumps(_finite(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def save_json(path: str | Path, value: Any) -> None:
    """Writes readable JSON (UTF-8) and lists its checksum in the directory. The file never appears incomplete."""
    path = Path(path)
    Checksums(path.parent).write({path.name: json_bytes(value)})


@overload
def load_json(path: str | Path, type: type[T], way_out: str | None = None) -> T: ...
@overload
def load_json(path: str | Path, type: Any = Any, way_out: str | None = None) -> Any: ...
def load_json(path: str | Path, type: Any = Any, way_out: str | None = None) -> Any:
    """Reads a JSON file in a directory with checksums.

    Args:
        path: the file.
        type: the expected type, see `as_type`.
        way_out: ends all error messages; depends on the kind of directory by default.

    Raises:
        UserError: the file is missing, damaged or of another type. The message names the file, the key and the value.
    """
    path = Path(path)
    data = Checksums(path.parent, way_out).read(path.name)
    return as_type(parse_json(data, str(path), way_out or way_out_of(path.parent)), type, str(path), way_out)


def load_user_json(path: str | Path, way_out: str) -> Any:
    """Reads a JSON file that a user wrote. Raises UserError, ending in `way_out`, if it is missing or malformed."""
    try:
        return parse_json(Path(path).read_bytes(), str(path), way_out)
    except FileNotFoundError:
        raise UserError(f"{path}: file not found; {way_out}") from None


def parse_json(data: bytes, source: str, way_out: str) -> Any:
    """Parses JSON text into plain dictionaries, lists, strings and numbers.

    Raises:
        UserError: the text is not valid JSON in UTF-8, has NaN or infinite numbers, repeats a key in an object, or is
            nested too deeply. The message begins with `source` and ends in `way_out`.
    """
    try:
        text = data.decode("utf-8-sig")
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_float)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UserError(f"{source}: not valid JSON ({reason}); {way_out}") from None


def as_type(value: Any, type: Any, source: str, way_out: str | None = None, closed: bool = True) -> Any:
    """Converts a value of `parse_json` to a dataclass or another annotated type.

    Args:
        value: plain dictionaries, lists, strings and numbers.
        type: the expected type.
        source: begins error messages; usually the file's path.
        way_out: ends error messages; depends on the kind of the file's directory by default.
        closed: whether unknown keys are errors.

    Raises:
        UserError: the value is of another type. The message names `source`, the place and the value found.
    """
    end = f"; {way_out or way_out_of(Path(source).parent)}"
    try:
        found = msgspec.convert(value, type)
    except (msgspec.ValidationError, OverflowError) as error:
        reason, _, path = str(error).partition(" - at `$")
        place = path.rstrip("`").lstrip(".")
        there = _at(value, place)
        shown = "" if there is None else f", got {there}"
        raise UserError(f"{source}: {place + ': ' if place else ''}{_plain_words(reason)}{shown}{end}") from None
    if closed and (unknown := _unknown_key(value, msgspec.to_builtins(found))) is not None:
        raise UserError(f"{source}: unknown key {unknown!r}{end}")
    return found


def _plain_words(reason: str) -> str:
    reason = re.sub(r"^Object missing required field `(.*)`$", r"key '\1' is missing", reason)
    return re.sub(r"^Expected `(.*)`, got `.*`$", r"expected \1", reason)


def _at(value: Any, place: str) -> str | None:
    """The value at a place in msgspec's notation, shortened; None if the place is ambiguous."""
    for key, index in re.findall(r"([^.\[\]]+)|\[(\d+|\.\.\.)\]", place):
        try:
            value = value[int(index)] if index else value[key]
        except (KeyError, IndexError, TypeError, ValueError):
            return None
    if isinstance(value, dict):
        return "an object" if place else None
    return shortened(value)


def shortened(value: Any) -> str:
    """A value as messages show it."""
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _unknown_key(given: Any, known: Any) -> str | None:
    if isinstance(given, dict) and isinstance(known, dict):
        for key, value in given.items():
            if key not in known:
                return key
            if (unknown := _unknown_key(value, known[key])) is not None:
                return f"{key}.{unknown}"
    if isinstance(given, list) and isinstance(known, list | tuple):
        for i, (one, other) in enumerate(zip(given, known, strict=False)):
            if (unknown := _unknown_key(one, other)) is not None:
                return f"[{i}].{unknown}"
    return None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(key for key in keys if keys.count(key) > 1)!r} stands twice in one object")
    return found


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON number")


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text} is too large a number")
    return value


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not -float("inf") < value < float("inf") else value


def checked_keys(
    value: Any, types: Mapping[str, type | UnionType], source: str, optional: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Returns `value` if it is a dictionary with these keys and types. Only `optional` keys may be missing.

    Raises:
        UserError: a key is missing, unknown or of the wrong type. The message names the source and the first such key.
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
