"""Optimisers by name, Keras' own and ours."""

import inspect
from collections.abc import Mapping
from typing import Any

import keras

from ada_ensemble_tf.optimizers.clipping import ClippedAdam
from ada_ensemble_tf.optimizers.ftrl import Ftrl
from ada_ensemble_tf.optimizers.grda import GRDA
from ada_ensemble_tf.optimizers.group_ftrl import GroupFtrl
from ada_ensemble_tf.optimizers.row_sparse import RowSparseOptimizer
from ada_ensemble_tf.optimizers.schedules import scheduled
from ada_ensemble_tf.optimizers.sparse_adagrad import RowSparseAdagrad
from ada_ensemble_tf.optimizers.sparse_adam import RowSparseAdam
from ada_ensemble_tf.plugins import registry

OPTIMIZERS: dict[str, type[keras.optimizers.Optimizer]] = registry(
    {
        "adam": ClippedAdam,
        "ftrl": Ftrl,
        "grda": GRDA,
        "group_ftrl": GroupFtrl,
        "sparse_adagrad": RowSparseAdagrad,
        "sparse_adam": RowSparseAdam,
    }
)


def arguments_of(name: str) -> set[str]:
    """The arguments that the optimiser registered as `name` has, those that configs have for all of them included.

    Example:
        >>> {"l1", "slot_dtype"} & arguments_of("sparse_adam")
        {'slot_dtype'}
    """
    classes = [cls for cls in OPTIMIZERS[name].__mro__ if "__init__" in vars(cls) and cls is not object]
    own = {parameter for cls in classes for parameter in inspect.signature(cls).parameters}
    return own | {"slot_dtype", "slots_on", "rounding_seed"}


def make_optimizer(
    name: str, schedule: Mapping[str, Any] | None = None, **arguments: Any
) -> keras.optimizers.Optimizer:
    """The optimiser registered as `name`.

    Args:
        name: one of `OPTIMIZERS`.
        schedule: arguments of `Schedule` except the learning rate, which is then the peak.
        **arguments: those of the optimiser.

    Raises:
        ValueError: if there is none of that name, or it does not know an argument, or a value does not fit.

    Example:
        >>> make_optimizer("sparse_adam", learning_rate=0.01, catch_up=True).name
        'sparse_adam'
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"there is no optimizer {name!r}; choose one of {', '.join(sorted(OPTIMIZERS))}")
    if not issubclass(OPTIMIZERS[name], RowSparseOptimizer):
        # Configs have these keys whatever the optimiser's name.
        slot_dtype = arguments.pop("slot_dtype", "float32")
        slots_on = arguments.pop("slots_on", "device")
        arguments.pop("rounding_seed", None)
        if slots_on != "device":
            raise ValueError(f"slots_on={slots_on!r}: optimizer {name!r} keeps slots on the device, choose another")
        if slot_dtype != "float32":
            raise ValueError(f"slot_dtype={slot_dtype!r}: optimizer {name!r} keeps float32 slots, choose another")
    try:
        if schedule is not None and "learning_rate" in arguments:
            arguments["learning_rate"] = scheduled(arguments["learning_rate"], **schedule)
        # Keras would number those that a process makes, and a later run in it could not restore the variables by name.
        return OPTIMIZERS[name](name=name, **arguments)
    except TypeError as error:
        raise ValueError(f"optimizer {name!r}: {error}") from error
