"""The moving averages of weights, whichever optimiser keeps them."""

import keras
import tensorflow as tf

from ada_ensemble_tf.keras_private import moving_average
from ada_ensemble_tf.optimizers.row_sparse import RowSparseOptimizer


def keeps_averages(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether an optimiser was made with `use_ema`."""
    return optimizer.averages_rows if isinstance(optimizer, RowSparseOptimizer) else bool(optimizer.use_ema)


def average_of(optimizer: keras.optimizers.Optimizer, variable: keras.Variable) -> tf.Tensor:
    """The moving average that an optimiser with `use_ema` keeps of a variable."""
    if isinstance(optimizer, RowSparseOptimizer):
        return optimizer.averaged(variable)
    return moving_average(optimizer, variable)
