"""What fields of a schema file say about other fields and files."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_pipelines.errors import UserError
from data_pipelines.fields.declarations import VALUE_TRANSFORMS, Input
from data_pipelines.json_files import checked_keys

CROSS_KEYS: dict[str, type] = {"fields": list, "buckets": int}
"""Those of a cross beside name and kind."""
VECTOR_KEYS: dict[str, type] = {"vectors": str, "frozen": bool}
_RULES = {"categorical": "text", "multi_valued": "text", "hashed": "hashed"}
"""The kinds that can share rows, each with its rule; both fields need the same one."""


def with_shared(fields: Sequence[Any], source: str) -> list[Any]:
    """The fields as they are written; one that is `shared_with` a hashed field gets that field's buckets.

    Args:
        fields: of a schema file, not checked otherwise.
        source: named in errors.

    Raises:
        UserError: a field shares rows with none, itself, one that does so as well, or one of another kind.
    """
    by_name = {field["name"]: field for field in fields if _is_named(field)}
    found = []
    for i, field in enumerate(fields):
        if not _is_named(field) or "shared_with" not in field or field.get("kind") not in _RULES:
            found.append(field)
            continue
        owner = _owner(field, by_name, f"{source}: fields[{i}]")
        found.append(field | ({"buckets": owner["buckets"]} if "buckets" in owner else {}))
    return found


def _owner(field: dict[str, Any], by_name: dict[str, Any], place: str) -> dict[str, Any]:
    name, other = field["name"], field["shared_with"]
    owner = by_name.get(other) if isinstance(other, str) else None
    if owner is None:
        raise UserError(f"{place}: 'shared_with' should name a field ({', '.join(by_name)}), got {other!r}")
    if owner is field:
        raise UserError(f"{place}: field {name} is shared with itself; leave 'shared_with' out")
    for key in ("min_count", "buckets"):
        if key in field:
            raise UserError(f"{place}: {key!r} is that of field {other}, whose rows {name} shares; leave it out")
    kind, its_kind = field["kind"], owner.get("kind")
    if its_kind in _RULES and "shared_with" in owner:
        way_out = f"leave it out of {other}" if owner["shared_with"] == name else f"name {owner['shared_with']} here"
        raise UserError(
            f"{place}: field {name} is shared with {other}, which is shared with {owner['shared_with']}; {way_out}"
        )
    if _RULES[kind] != _RULES.get(its_kind):
        raise UserError(
            f"{place}: field {name} is {kind} and shared with {other}, which is {its_kind}; a categorical or "
            "multi_valued field is shared with either kind, a hashed one with a hashed one"
        )
    return owner


def cross(field: Any, place: str) -> Input:
    """A field of kind "cross". Raises UserError, naming `place`, where it is malformed."""
    keys: dict[str, type] = {"name": str, "kind": str}
    field = checked_keys(field, keys | CROSS_KEYS, place)
    names = field["fields"]
    if len(names) < 2 or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise UserError(f"{place}: 'fields' should be the names of two or more fields, each once, got {names}")
    return Input(field["name"], "", "hashed", buckets=field["buckets"], crossed=tuple(names))


def with_vectors(one: Input, field: dict[str, Any], place: str, source: str) -> Input:
    """The field with its file of vectors, which stands beside the schema file `source`."""
    if "vectors" not in field:
        if "frozen" in field:
            raise UserError(f"{place}: 'frozen' is for fields with 'vectors'; give their file or leave it out")
        return one
    if "shared_with" in field:
        raise UserError(f"{place}: 'vectors' belong to field {field['shared_with']}, whose rows {one.name} shares")
    return dataclasses.replace(
        one, vectors=str(Path(source).parent / field["vectors"]), frozen=field.get("frozen", False)
    )


def check_crosses(inputs: Sequence[Input]) -> None:
    """Raises UserError where a cross is of a field that there is not, or that has not one level a row."""
    by_name = {one.name: one for one in inputs}
    for one in inputs:
        for name in one.crossed:
            part, place = by_name.get(name), f"field {one.name}: it crosses {name!r}"
            if part is None:
                raise UserError(f"{place}, which is no field; the fields are {', '.join(by_name)}")
            if part.crossed:
                raise UserError(f"{place}, which is a cross; name the fields of that cross ({', '.join(part.crossed)})")
            if part.separator:
                raise UserError(f"{place}, which has several values a row; cross fields of one value")
            if part.transform in VALUE_TRANSFORMS:
                raise UserError(f"{place}, which is a number without bins; add a field with bins and cross that one")


def _is_named(field: Any) -> bool:
    return isinstance(field, dict) and isinstance(field.get("name"), str)
