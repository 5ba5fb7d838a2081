"""Adagrad for embedding tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.optimizers.row_sparse import RowSparseOptimizer


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class RowSparseAdagrad(RowSparseOptimizer):
    """Adagrad that reads and writes only the rows of the batch.

    With g the gradient of a row, summed over the batch, and element-wise arithmetic:

        n <- n + g^2
        w <- w - learning_rate g / sqrt(n + epsilon)

    Duchi et al., "Adaptive subgradient methods for online learning and stochastic optimization", JMLR 2011. A gradient
    of zero changes nothing in dense Adagrad, so this equals it exactly. Keras' own optimiser updates all rows of a
    table. For a row that is repeated in a batch, it adds the squares of the parts instead of the square of their sum.

    Args:
        learning_rate: as in SGD; each coordinate's effective rate falls with its own gradients.
        initial_accumulator: initial value of n, at least 0.
        epsilon: added to n under the root, above 0.
        name: the optimiser's name.

    Raises:
        ValueError: for an initial accumulator or epsilon out of range, and as `RowSparseOptimizer` does.

    Example:
        >>> table = keras.Variable(tf.ones([3, 2]))
        >>> gradient = tf.IndexedSlices(tf.ones([1, 2]), indices=tf.constant([1]), dense_shape=tf.constant([3, 2]))
        >>> RowSparseAdagrad(0.1).apply([gradient], [table])
        >>> table.numpy().round(3)
        array([[1.   , 1.   ],
               [0.905, 0.905],
               [1.   , 1.   ]], dtype=float32)
    """

    def __init__(
        self,
        learning_rate: float = 0.01,
        initial_accumulator: float = 0.1,
        epsilon: float = 1e-7,
        name: str = "sparse_adagrad",
        **kwargs: Any,
    ):
        super().__init__(learning_rate, name, **kwargs)
        if initial_accumulator < 0.0:
            raise ValueError(f"initial_accumulator must not be negative; received {initial_accumulator}")
        if epsilon <= 0.0:
            raise ValueError(f"epsilon must be positive; received {epsilon}")
        self.initial_accumulator = initial_accumulator
        self.epsilon = epsilon

    def slot_initializers(self) -> Mapping[str, str | keras.initializers.Initializer]:
        return {"accumulator": keras.initializers.Constant(self.initial_accumulator)}

    def updated(
        self, g: tf.Tensor, w: tf.Tensor, slots: Sequence[tf.Tensor], learning_rate: tf.Tensor
    ) -> tuple[tf.Tensor, Sequence[tf.Tensor]]:
        n = slots[0] + tf.square(g)
        return w - learning_rate * g / tf.sqrt(n + self.epsilon), (n,)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"initial_accumulator": self.initial_accumulator, "epsilon": self.epsilon}
