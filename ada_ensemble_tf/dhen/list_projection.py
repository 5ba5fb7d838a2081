"""A linear map from one list of embeddings to another."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.dhen.base import list_shape
from ada_ensemble_tf.layers.fields import Shape


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class ListProjection(keras.layers.Layer):
    """Y_j = sum_i W_ij X_i: each output embedding is a weighted sum of the input embeddings, without bias.

    The W of DHEN (arXiv 2203.11014), equations 2 and 4 to 6, which adapts the lengths of lists.

    Args:
        num_outputs: l.

    Call arguments:
        x: `[B, m, D]`, B may be 0.

    Returns:
        `[B, l, D]`.

    Raises:
        ValueError: if `num_outputs` is not positive, or x is not `[B, m, D]` with m and D known.

    Example:
        >>> ListProjection(num_outputs=2)(tf.ones([1, 3, 4])).shape
        TensorShape([1, 2, 4])
    """

    def __init__(self, num_outputs: int, **kwargs: Any):
        super().__init__(**kwargs)
        if num_outputs < 1:
            raise ValueError(f"num_outputs must be at least 1; received {num_outputs}")
        self.num_outputs = num_outputs

    def build(self, x_shape: Shape) -> None:
        self.num_inputs, self.dimension = list_shape(x_shape)
        self.kernel = self.add_weight(name="kernel", shape=(self.num_inputs, self.num_outputs))

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return tf.einsum("bmd,ml->bld", x, tf.convert_to_tensor(self.kernel))

    def compute_output_shape(self, x_shape: Shape) -> Shape:
        return (x_shape[0], self.num_outputs, x_shape[2])

    def flops(self) -> int:
        """Per row: W X."""
        return 2 * self.num_inputs * self.num_outputs * self.dimension

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"num_outputs": self.num_outputs}
