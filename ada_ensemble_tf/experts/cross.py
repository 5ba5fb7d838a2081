"""The cross expert."""

import keras
import tensorflow as tf

from ada_ensemble_tf.experts.base import Expert
from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.fields import Shape


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class CrossExpert(Expert):
    """x0 * (W x + b): explicit bit-wise interactions.

    DCN V2 (arXiv 2008.13535), equation 1, without its residual. In its equation 6, AdaEnsemble (arXiv 2301.08353)
    prints the bias outside the product; DCN V2 and the published implementations add it inside, as this expert does.

    Args:
        num_fields: F.

    Example:
        >>> x0 = x = tf.ones([2, 12])
        >>> expert = CrossExpert(num_fields=3)
        >>> expert(x0, x).shape
        TensorShape([2, 12])
        >>> expert.flops()
        312
    """

    reads_x0 = True

    def build(self, x0_shape: Shape, x_shape: Shape) -> None:
        super().build(x0_shape, x_shape)
        self.dense = Dense(self.width, name="dense")
        self.dense.build(x_shape)

    def call(self, x0: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        return x0 * self.dense(x)

    def flops(self) -> int:
        """Per row: W x, the bias and the product with x0."""
        return 2 * self.width * self.width + 2 * self.width
