"""Sets single keys of a config by their dotted names, such as "model.k"."""

import ast
import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

_LIKE_ENOUGH = 0.6
_SHOWN = 3


def nearest(config: ConfigDict, key: str) -> str:
    """What a message about a key that a config does not have says of keys that are like it.

    Example:
        >>> nearest(ConfigDict({"optimizer": {"learning_rate": 0.1}, "seed": 0}), "optimizer.lerning_rate")
        'nearest: optimizer.learning_rate'
    """
    last = key.rpartition(".")[2]

    def likeness(known: str) -> tuple[float, float]:
        other = known.rpartition(".")[2]
        words, others = set(last.split("_")), set(other.split("_"))
        shared = len(words & others) / len(words | others)
        return max(_ratio(last, other), shared), _ratio(key, known)

    like = sorted(_keys(config), key=likeness, reverse=True)[:_SHOWN]
    if names := [known for known in like if likeness(known)[0] >= _LIKE_ENOUGH]:
        return f"nearest: {', '.join(names)}"
    place, inside = config, key.rpartition(".")[0]
    for name in inside.split("."):
        place = place.get(name) if isinstance(place, ConfigDict) else None
    if isinstance(place, ConfigDict):
        return f"{inside} has {', '.join(sorted(place))}"
    return f"it has {', '.join(sorted(config))}"


def _ratio(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def has_key(config: ConfigDict, key: str) -> bool:
    """Whether a config has a dotted key."""
    known = _keys(config)
    return key in known or any(one.startswith(f"{key}.") for one in known)


def _keys(config: ConfigDict) -> list[str]:
    keys = []
    for name, value in config.items():
        keys += [f"{name}.{inner}" for inner in _keys(value)] if isinstance(value, ConfigDict) else [name]
    return keys


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
            raise ValueError(f"config of {config.model.name}: there is no key {key!r}; {nearest(config, key)}")
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
