"""The config keys that a model's constructor declares: names, defaults and sentences."""

import dataclasses
from typing import Any

from ada_ensemble_tf.arguments import allows_none, constructor_parameters, sentences
from ada_ensemble_tf.gates import GATES, Gate, gate_options, shared_options
from ada_ensemble_tf.models.base import CTRModel
from ada_ensemble_tf.moe.expert_lists import OneExpert

NO_KEYS = frozenset(
    ("num_rows", "num_fields", "widths", "value_rows", "frozen_rows", "initial_logit", "logit_shift", "seed", "name")
)
"""Constructor arguments without a config key: the data gives them, or only Python can."""


@dataclasses.dataclass(frozen=True)
class Key:
    """A key of `config.model`."""

    default: Any
    """The default of the constructor's argument."""
    any_literal: bool
    """Whether values may have another type than the default: None, or a mapping in place of a name."""
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
            keys |= {f"gate.{option}": key for option, key in _gate_keys().items()}
        else:
            keys[name] = Key(parameter.default, _has_several_types(parameter.annotation), sentence)
    return keys


def _gate_keys() -> dict[str, Key]:
    """The options of all gates; those that not all have are None, which leaves them at the gate's default."""
    shared, said = shared_options(), sentences(Gate)
    keys = {name: Key(value, value is None, said[name]) for name, value in shared.items()}
    for gate, cls in GATES.items():
        own = sentences(cls)
        keys |= {name: Key(None, True, f"of {gate}: {own[name]}") for name in gate_options(gate) if name not in shared}
    return keys


def _has_several_types(annotation: Any) -> bool:
    return allows_none(annotation) or annotation is OneExpert
