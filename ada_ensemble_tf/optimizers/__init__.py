"""Optimisers by name, Keras' own and ours."""

import keras

from ada_ensemble_tf.optimizers.ftrl import Ftrl
from ada_ensemble_tf.optimizers.grda import GRDA
from ada_ensemble_tf.optimizers.group_ftrl import GroupFtrl
from ada_ensemble_tf.optimizers.row_sparse import RowSparseOptimizer
from ada_ensemble_tf.optimizers.sparse_adagrad import RowSparseAdagrad
from ada_ensemble_tf.optimizers.sparse_adam import RowSparseAdam

OPTIMIZERS: dict[str, type[keras.optimizers.Optimizer]] = {
    "adam": keras.optimizers.Adam,
    "ftrl": Ftrl,
    "grda": GRDA,
    "group_ftrl": GroupFtrl,
    "sparse_adagrad": RowSparseAdagrad,
    "sparse_adam": RowSparseAdam,
}


def make_optimizer(name: str, **arguments: float) -> keras.optimizers.Optimizer:
    """The optimiser registered as `name`.

    Raises:
        ValueError: if there is none of that name, or it does not know an argument.

    Example:
        >>> make_optimizer("sparse_adam", learning_rate=0.01, catch_up=True).name
        'sparse_adam'
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"there is no optimizer {name!r}; choose one of {', '.join(sorted(OPTIMIZERS))}")
    try:
        # Keras would number those that a process makes, and a later run in it could not restore the variables by name.
        return OPTIMIZERS[name](name=name, **arguments)
    except TypeError as error:
        raise ValueError(f"optimizer {name!r}: {error}") from error


__all__ = [
    "GRDA",
    "OPTIMIZERS",
    "Ftrl",
    "GroupFtrl",
    "RowSparseAdagrad",
    "RowSparseAdam",
    "RowSparseOptimizer",
    "make_optimizer",
]
