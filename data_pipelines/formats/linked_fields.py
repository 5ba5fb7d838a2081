"""Fields of a schema file that refer to other fields."""

from collections.abc import Sequence
from typing import Any

from data_pipelines.errors import UserError

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


def _is_named(field: Any) -> bool:
    return isinstance(field, dict) and isinstance(field.get("name"), str)
