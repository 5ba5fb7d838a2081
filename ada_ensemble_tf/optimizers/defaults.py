"""The optimisers of a model's three groups of variables where nothing else is asked for."""

from collections.abc import Mapping
from typing import Any

import keras

from ada_ensemble_tf.optimizers.registry import OPTIMIZERS, make_optimizer

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "embedding_optimizer": {
        "name": "group_ftrl",
        "learning_rate": 0.1,
        "beta": 1e-4,
        "l1": 0.0,
        "l2": 0.3,
        "keep_initial": True,
        "slot_dtype": "float32",
        "slots_on": "device",
    },
    "weight_optimizer": {"name": "adam", "learning_rate": 1e-3},
    "gate_optimizer": {"name": "adam", "learning_rate": 1e-3},
}
"""By group: the optimiser's name in `OPTIMIZERS` and its arguments. Configs begin with these values."""


def optimizers_of_groups(
    optimizer: str | keras.optimizers.Optimizer | None, given: Mapping[str, keras.optimizers.Optimizer | None]
) -> dict[str, keras.optimizers.Optimizer]:
    """An optimiser for each group: the given one, else one like `optimizer`, else the default.

    Args:
        optimizer: for all groups that are given none, as a name (of `OPTIMIZERS` or Keras') or an optimiser, of which
            each group gets a copy with a state of its own.
        given: by group, or None.

    Raises:
        ValueError: if there is no optimiser of that name, or a group is given something else than an optimiser.

    Example:
        >>> groups = optimizers_of_groups("adam", {"embedding_optimizer": None, "weight_optimizer": None})
        >>> [type(optimizer).__name__ for optimizer in groups.values()]
        ['ClippedAdam', 'ClippedAdam']
    """
    made = {}
    for group, own in given.items():
        if isinstance(own, str):
            raise ValueError(
                f'{group}={own!r}: give an optimizer, such as keras.optimizers.Adam(), or write optimizer="{own}" for '
                "all variables"
            )
        made[group] = own or (make_optimizer(**DEFAULTS[group]) if optimizer is None else _like(optimizer))
    return made


def _like(optimizer: str | keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    if isinstance(optimizer, str):
        return make_optimizer(optimizer) if optimizer in OPTIMIZERS else keras.optimizers.get(optimizer)
    return type(optimizer).from_config(optimizer.get_config())
