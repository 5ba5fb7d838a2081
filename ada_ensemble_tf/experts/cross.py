"""The cross expert."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import Count, Weight
from ada_ensemble_tf.experts.base import Expert
from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.fields import Shape


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class CrossExpert(Expert):
    """x0 * (W x + diag_scale x + b): explicit bit-wise interactions.

    DCN V2 (arXiv 2008.13535), equation 1, without its residual. In its equation 6, AdaEnsemble (arXiv 2301.08353)
    prints the bias outside the product; DCN V2 and the published implementations add it inside, as this expert does.
    The diagonal term is an option of AdaEnsemble's original release.

    Args:
        num_fields: F.
        diag_scale: what is added to W's diagonal and not learned.

    Raises:
        ValueError: if `diag_scale` is negative or not finite.

    Example:
        >>> x0 = x = tf.ones([2, 12])
        >>> expert = CrossExpert(num_fields=3)
        >>> expert(x0, x).shape
        TensorShape([2, 12])
        >>> expert.flops()
        312
    """

    reads_x0 = True

    def __init__(self, num_fields: Count, diag_scale: Weight = 0.0, **kwargs: Any):
        super().__init__(num_fields, **kwargs)
        self.diag_scale = diag_scale

    def build(self, x0_shape: Shape, x_shape: Shape) -> None:
        super().build(x0_shape, x_shape)
        self.dense = Dense(self.width, name="dense")
        self.dense.build(x_shape)

    def call(self, x0: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        mixed = self.mixed(x)
        return x0 * (mixed + self.diag_scale * x if self.diag_scale else mixed)

    def mixed(self, x: tf.Tensor) -> tf.Tensor:
        """`[B, M]`: W x + b."""
        return self.dense(x)

    def flops(self) -> int:
        """Per row: W x, the bias, the product with x0, and the diagonal if there is one."""
        return 2 * self.width * self.width + (4 if self.diag_scale else 2) * self.width

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"diag_scale": self.diag_scale}
