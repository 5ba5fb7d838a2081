"""Generalised regularised dual averaging."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.optimizers.row_sparse import RowSparseOptimizer


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class GRDA(RowSparseOptimizer):
    """SGD whose weights are shrunk towards zero by a threshold that grows with the steps: it prunes as it trains.

    With g the gradient of a weight and t the number of the step, from 1:

        v <- v - learning_rate g,                           v = w at first
        tau = c learning_rate^(1/2 + mu) t^mu
        w = sign(v) max(|v| - tau, 0)

    gRDA: Chao et al., "Directional pruning of deep neural networks", NeurIPS 2020 (arXiv 2006.09358). t counts the
    optimiser's steps. With a learning-rate schedule, tau uses the rate of the current step.

    For a table with a row-sparse gradient, only rows with a gradient are read and written: their v changes, and tau is
    that of the current step. An absent row keeps its w. When it comes again, it is shrunk by all that tau has grown
    meanwhile.

    Args:
        learning_rate: gamma, as in SGD.
        c: how sparse from the start, at least 0.
        mu: how sparse in the end, in [0, 1]; the paper's theory is for 1/2 to 1.
        name: the optimiser's name.

    Raises:
        ValueError: for a c or mu out of range, and as `RowSparseOptimizer` does.

    Example:
        >>> table = keras.Variable(tf.ones([3, 2]))
        >>> gradient = tf.IndexedSlices(tf.ones([1, 2]), indices=tf.constant([1]), dense_shape=tf.constant([3, 2]))
        >>> GRDA().apply([gradient], [table])
        >>> table.numpy().round(3)
        array([[1.   , 1.   ],
               [0.995, 0.995],
               [1.   , 1.   ]], dtype=float32)
    """

    def __init__(
        self, learning_rate: float = 0.005, c: float = 0.005, mu: float = 0.7, name: str = "grda", **kwargs: Any
    ):
        super().__init__(learning_rate, name, **kwargs)
        if c < 0.0:
            raise ValueError(f"c must not be negative; received {c}")
        if not 0.0 <= mu <= 1.0:
            raise ValueError(f"mu must lie in [0, 1]; received {mu}")
        self.c = c
        self.mu = mu

    def slot_initializers(self) -> Mapping[str, str | keras.initializers.Initializer]:
        return {"v": "zeros"}

    def started(self, w: tf.Tensor) -> Mapping[str, tf.Tensor]:
        return {"v": w}

    def updated(
        self, g: tf.Tensor, w: tf.Tensor, slots: Sequence[tf.Tensor], learning_rate: tf.Tensor
    ) -> tuple[tf.Tensor, Sequence[tf.Tensor]]:
        # Keras increments the counter after updating all variables.
        step = tf.cast(tf.convert_to_tensor(self.iterations) + 1, w.dtype)
        threshold = self.c * learning_rate ** (0.5 + self.mu) * step**self.mu
        v = slots[0] - learning_rate * g
        return tf.sign(v) * tf.maximum(tf.abs(v) - threshold, 0.0), (v,)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"c": self.c, "mu": self.mu}
