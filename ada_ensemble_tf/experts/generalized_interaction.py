"""The generalized interaction expert."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import Count
from ada_ensemble_tf.experts.base import Expert
from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.fields import Shape


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class GeneralizedInteractionExpert(Expert):
    """Dense([y_1 .. y_S]), y_s = sum_ij a_ijs (W_s x_i) * x0_j over all pairs of a field of x and a field of x0.

    The layer of the generalized interaction network (Lang et al., "Architecture and Operation Adaptive Network for
    Online Recommendations", KDD 2021): each of S subspaces learns which pairs count (a) and what operation joins them
    (W). Public implementations compute (W_s * sum_ij a_ijs x0_j x_i^T) h_s; the vector h_s only scales W_s's columns,
    so it is left out. They output S fields; here a Dense maps those to the M that every expert outputs.

    W_s starts as the identity and a has standard deviation 1 / F at first, so y starts at the scale of one product.

    Args:
        num_fields: F.
        subspaces: S.

    Raises:
        ValueError: if there is no subspace.

    Example:
        >>> x0 = x = tf.ones([2, 12])
        >>> expert = GeneralizedInteractionExpert(num_fields=3)
        >>> expert(x0, x).shape
        TensorShape([2, 12])
        >>> expert.flops()
        2304
    """

    reads_x0 = True

    def __init__(self, num_fields: Count, subspaces: Count = 8, **kwargs: Any):
        super().__init__(num_fields, **kwargs)
        self.subspaces = subspaces

    def build(self, x0_shape: Shape, x_shape: Shape) -> None:
        super().build(x0_shape, x_shape)
        fields, count = self.num_fields, self.subspaces
        self.operation = self.add_weight(
            name="operation_kernel",
            shape=(self.dimension, count, self.dimension),
            initializer=lambda shape, dtype=None: tf.repeat(tf.eye(shape[0], dtype=dtype)[:, None], shape[1], axis=1),
        )
        self.pair_weights = self.add_weight(
            name="pair_kernel",
            shape=(fields, fields, count),
            initializer=keras.initializers.RandomNormal(stddev=1 / fields),
        )
        self.project = Dense(self.width, name="project")
        self.project.build((None, count * self.dimension))

    def call(self, x0: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        fields = tf.reshape(x, [-1, self.num_fields, self.dimension])
        fields0 = tf.reshape(x0, [-1, self.num_fields, self.dimension])
        transformed = tf.einsum("bid,dse->bise", fields, tf.convert_to_tensor(self.operation))
        partners = tf.einsum("bje,ijs->bise", fields0, tf.convert_to_tensor(self.pair_weights))
        joined = tf.reduce_sum(transformed * partners, axis=1)
        return self.project(tf.reshape(joined, [-1, self.subspaces * self.dimension]))

    def flops(self) -> int:
        """Per row and subspace: W x_i of each field, the weighted sums of x0's fields, their products; the Dense."""
        per_subspace = self.width * self.dimension + self.width * self.num_fields + self.width
        return 2 * self.subspaces * (per_subspace + self.dimension * self.width)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"subspaces": self.subspaces}
