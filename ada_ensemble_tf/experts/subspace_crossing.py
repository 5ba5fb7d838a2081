"""The subspace crossing expert."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import ArgumentError, Count
from ada_ensemble_tf.experts.base import Expert
from ada_ensemble_tf.layers.fields import Shape


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class SubspaceCrossingExpert(Expert):
    """x_a * (sum_b w_ba x0_b), without bias; a and b run over the F h pieces, of size D / h, of the fields.

    The polynomial interaction of xDeepInt (arXiv 2301.01089) on its subspaces, without its residual: h = 1 crosses
    whole fields (vector-wise); h = D crosses single elements, as the polynomial expert does. The paper stacks all
    fields' first pieces, then all second ones; here a field's pieces stay together, which only permutes w's rows and
    columns.

    Args:
        num_fields: F.
        subspaces: h, a divisor of D.

    Raises:
        ValueError: if `subspaces` is below 1 or does not divide D.

    Example:
        >>> x0 = x = tf.ones([2, 12])
        >>> expert = SubspaceCrossingExpert(num_fields=3)
        >>> expert(x0, x).shape
        TensorShape([2, 12])
        >>> expert.flops()
        156
    """

    reads_x0 = True

    def __init__(self, num_fields: Count, subspaces: Count = 2, **kwargs: Any):
        super().__init__(num_fields, **kwargs)
        self.subspaces = subspaces

    def build(self, x0_shape: Shape, x_shape: Shape) -> None:
        super().build(x0_shape, x_shape)
        if self.dimension % self.subspaces:
            raise ArgumentError("subspaces", f"divide D={self.dimension}", self.subspaces)
        self.pieces = self.num_fields * self.subspaces
        self.kernel = self.add_weight(name="kernel", shape=(self.pieces, self.pieces), initializer="glorot_uniform")

    def call(self, x0: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        pieces0 = tf.reshape(x0, [-1, self.pieces, self.width // self.pieces])
        mixed = tf.einsum("bpd,pq->bqd", pieces0, tf.convert_to_tensor(self.kernel))
        return x * tf.reshape(mixed, [-1, self.width])

    def flops(self) -> int:
        """Per row: the weighted sums of x0's pieces and the products with x."""
        return 2 * self.pieces * self.width + self.width

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"subspaces": self.subspaces}
