"""The config keys of a model, which its constructor declares: names, defaults and sentences."""

import dataclasses
from typing import Any

from ada_ensemble_tf.arguments import allows_none, constructor_parameters, sentences
from ada_ensemble_tf.gates import Gate, shared_options
from ada_ensemble_tf.models.base import CTRModel

NO_KEYS = frozenset(
    ("num_rows", "num_fields", "widths", "value_rows", "initial_logit", "seed", "name", "k_schedule", "depth_schedule")
)
"""Constructor arguments that are no config keys: they come from the data, or from Python alone."""


@dataclasses.dataclass(frozen=True)
class Key:
    """A key of `config.model`."""

    default: Any
    """What the constructor has, too."""
    optional: bool
    """Whether it may be None."""
    sentence: str
    """What the docstring says of it."""


def keys_of(model: type[CTRModel]) -> dict[str, Key]:
    """The keys of `config.model` for a model by dotted name, all but its name.

    An argument that counts weight updates, `X_steps`, is the key `X_epochs`; its default is in `model.epochs`.
    """
    said: dict[str, str] = {}
    for cls in reversed([cls for cls in model.__mro__ if issubclass(cls, CTRModel)]):
        said |= sentences(cls)
    keys: dict[str, Key] = {}
    for name, parameter in constructor_parameters(model, CTRModel).items():
        sentence = said.get(name, "")
        if name in NO_KEYS:
            continue
        if name in model.epochs:
            in_epochs = sentence.replace("weight updates", "epochs")
            keys[name.replace("_steps", "_epochs")] = Key(model.epochs[name], False, in_epochs)
        elif name == "gate":
            keys["gate.name"] = Key(parameter.default["name"], False, sentence)
            options = sentences(Gate)
            keys |= {f"gate.{name}": Key(value, False, options[name]) for name, value in shared_options().items()}
        else:
            keys[name] = Key(parameter.default, allows_none(parameter.annotation), sentence)
    return keys
