"""Each expert's own view of the embeddings."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.layers.fields import Shape, field_dimension
from ada_ensemble_tf.layers.sharded_layer import ShardableLayer


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class LinearViews(ShardableLayer):
    """x0_jf = x0_f + x0_f W_jf for each expert j and field f: linear maps that start at the identity.

    Experts that read embeddings of their own are less alike (D-MoE, arXiv 2505.17925). The maps give each a view of its
    own of one table, with F D^2 weights an expert instead of V D.

    Args:
        num_views: E.
        num_fields: F.

    Call arguments:
        x0: `[B, M]`, B may be 0.

    Returns:
        `[B, E M]`, expert by expert.

    Example:
        >>> LinearViews(num_views=2, num_fields=1)(tf.constant([[1.0, 2.0]])).numpy()
        array([[1., 2., 1., 2.]], dtype=float32)
    """

    def __init__(self, num_views: int, num_fields: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.num_views = num_views
        self.num_fields = num_fields

    def build(self, x0_shape: Shape) -> None:
        self.width, dimension = x0_shape[-1], field_dimension(x0_shape, self.num_fields)
        # Zero for the identity, so that L2 pulls the maps there.
        shape = (self.num_views, self.num_fields, dimension, dimension)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer="zeros")

    def call(self, x0: tf.Tensor) -> tf.Tensor:
        fields = tf.reshape(x0, [-1, 1, self.num_fields, self.kernel.shape[-1]])
        views = fields + tf.einsum("bfd,efdg->befg", fields[:, 0], tf.convert_to_tensor(self.kernel))
        return tf.reshape(views, [-1, self.num_views * self.width])

    def compute_output_shape(self, x0_shape: Shape) -> Shape:
        return (x0_shape[0], self.num_views * x0_shape[-1])

    def flops(self) -> int:
        """Per row: the products with the maps."""
        return 2 * self.num_views * self.width * self.kernel.shape[-1]

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"num_views": self.num_views, "num_fields": self.num_fields}
