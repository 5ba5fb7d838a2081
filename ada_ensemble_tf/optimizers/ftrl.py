"""FTRL-Proximal: follow the regularised leader, a coordinate at a time."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.optimizers.group_ftrl import GroupFtrl


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class Ftrl(GroupFtrl):
    """FTRL-Proximal with an L1 term on each coordinate, the optimiser of linear models and factorisation machines.

    With g the gradient of a coordinate w, summed over the batch:

        sigma = (sqrt(n + g^2) - sqrt(n)) / learning_rate
        z <- z + g - sigma w
        n <- n + g^2
        w = 0                                                                       if |z| <= l1
            -(z - sign(z) l1) / ((beta + sqrt(n)) / learning_rate + l2)             else

    McMahan et al., "Ad click prediction: a view from the trenches", KDD 2013, algorithm 1. Keras' own Ftrl updates all
    rows of a table. This one reads and writes only rows with a gradient; a row without one would not change in Keras'
    Ftrl either. Without l1 it equals `GroupFtrl`.

    Args:
        learning_rate: alpha.
        beta: added to the root of n; large values slow the first steps of a coordinate.
        l1: lasso strength.
        l2: ridge strength.
        keep_initial: start z where the formula gives the initial value of w, instead of at 0. From 0, a coordinate's
            first update discards most of its random initial value.
        name: the optimiser's name.

    Raises:
        ValueError: for negative strengths, and as `RowSparseOptimizer` does.

    Example:
        >>> table = keras.Variable(tf.ones([3, 2]))
        >>> gradient = tf.IndexedSlices(tf.ones([1, 2]), indices=tf.constant([1]), dense_shape=tf.constant([3, 2]))
        >>> Ftrl(keep_initial=True).apply([gradient], [table])
        >>> table.numpy().round(3)
        array([[1.  , 1.  ],
               [0.98, 0.98],
               [1.  , 1.  ]], dtype=float32)
    """

    def __init__(
        self,
        learning_rate: float = 0.02,
        beta: float = 1e-4,
        l1: float = 1e-3,
        l2: float = 1e-3,
        keep_initial: bool = False,
        name: str = "ftrl",
        **kwargs: Any,
    ):
        super().__init__(learning_rate, beta, l1, l2, keep_initial, name, **kwargs)

    def check(self, variable: keras.Variable) -> None:
        """Accepts any shape, because each coordinate is a group."""

    def _norm_and_threshold(self, z: tf.Tensor) -> tuple[tf.Tensor, float]:
        return tf.abs(z), self.l1
