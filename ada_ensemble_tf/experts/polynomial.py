"""The polynomial interaction expert."""

import keras
import tensorflow as tf

from ada_ensemble_tf.experts.base import Expert
from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.fields import Shape


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class PolynomialExpert(Expert):
    """x * (W x0), without bias: explicit interactions of bounded degree.

    AdaEnsemble (arXiv 2301.08353), equation 5; xDeepInt's layer (arXiv 2301.01089) without its residual.

    Args:
        num_fields: F.

    Example:
        >>> x0 = x = tf.ones([2, 12])
        >>> expert = PolynomialExpert(num_fields=3)
        >>> expert(x0, x).shape
        TensorShape([2, 12])
        >>> expert.flops()
        300
    """

    reads_x0 = True

    def build(self, x0_shape: Shape, x_shape: Shape) -> None:
        super().build(x0_shape, x_shape)
        self.dense = Dense(self.width, use_bias=False, name="dense")
        self.dense.build(x0_shape)

    def call(self, x0: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        return x * self.dense(x0)

    def flops(self) -> int:
        """Per row: W x0 and the product with x."""
        return 2 * self.width * self.width + self.width
