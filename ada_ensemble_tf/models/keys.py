"""The config keys that a model's constructor declares: names, defaults and sentences."""

import dataclasses
from typing import Any

from ada_ensemble_tf.arguments import allows_none, constructor_parameters, sentences
from ada_ensemble_tf.gates import Gate, shared_options
from ada_ensemble_tf.models.base import CTRModel

NO_KEYS = frozenset(
    ("num_rows", "num_fields", "widths", "value_rows", "initial_logit", "logit_shift")
    + ("seed", "name", "k_schedule", "depth_schedule")
)
"""Constructor arguments without a config key: the data gives them, or only Python can."""


@dataclasses.dataclass(frozen=True)
class Key:
    """A key of `config.model`."""

    default: Any
    """The default of the constructor's argument."""
    optional: bool
    """Whether it may be None."""
    sentence: str
    """The argument's sentence in the docstring."""


def keys_of(model: type[CTRModel]) -> dict[str, Key]:
    """The keys of `config.model` for a model, by dotted name, except `name`.

    An argument `X_steps`, which counts weight updates, has the key `X_epochs`; its default is in `model.epochs`.
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
