"""Sets single keys of a config by their dotted names, such as "model.k"."""

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict


def override(config: ConfigDict, values: Mapping[str, Any]) -> None:
    """Sets existing keys of a config; lists become tuples, as in configs.

    Raises:
        ValueError: if the config does not have a key, or a value has another type than in the config.
    """
    for key, value in values.items():
        *path, last = key.split(".")
        place = config
        for name in path:
            place = place[name] if isinstance(place, ConfigDict) and name in place else None
        if not isinstance(place, ConfigDict) or last not in place:
            known = f"; {'.'.join(path) or 'it'} has {', '.join(sorted(place))}" if place else ""
            raise ValueError(f"config of {config.model.name}: there is no key {key!r}{known}")
        try:
            place[last] = tuple(value) if isinstance(value, list) else value
        except (TypeError, ValueError):
            message = f"should be of type {type(place[last]).__name__}; received {value!r}"
            raise ValueError(f"config of {config.model.name}: {key} {message}") from None


def parse(assignments: Sequence[str]) -> dict[str, Any]:
    """Parses strings "key=value"; a value that is not a Python literal stays a string.

    Raises:
        ValueError: if a string has no key or no "=".
    """
    values = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise ValueError(f"an override is written key=value; received {text!r}")
        try:
            values[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            values[key] = value
    return values
