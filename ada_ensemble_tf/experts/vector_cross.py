"""The vector-wise cross expert."""

import keras
import tensorflow as tf

from ada_ensemble_tf.experts.base import Expert
from ada_ensemble_tf.experts.cross import CrossExpert
from ada_ensemble_tf.experts.vector_dense import mixed_fields
from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.fields import Shape


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class VectorCrossExpert(CrossExpert):
    """X0 * (W X + diag_scale X + b), X0 and X `[F, D]`, W `[F, F]`: the cross expert with whole fields for elements.

    The cross layer of AdaEnsemble's original release (arXiv 2301.08353) on feature maps read as `[B, F, D]`: W is the
    same for each of the D elements, and b has one bias a field.

    Args:
        num_fields: F.
        diag_scale: what is added to W's diagonal and not learned.

    Raises:
        ValueError: if `diag_scale` is negative or not finite.

    Example:
        >>> x0 = x = tf.ones([2, 12])
        >>> expert = VectorCrossExpert(num_fields=3)
        >>> expert(x0, x).shape
        TensorShape([2, 12])
        >>> expert.flops()
        96
    """

    def build(self, x0_shape: Shape, x_shape: Shape) -> None:
        # Not that of the base, whose kernel is [M, M].
        Expert.build(self, x0_shape, x_shape)
        self.mix = Dense(self.num_fields, name="mix")
        self.mix.build((None, self.dimension, self.num_fields))

    def mixed(self, x: tf.Tensor) -> tf.Tensor:
        """`[B, M]`: W X + b, flattened."""
        return mixed_fields(self.mix, x, self.num_fields)

    def flops(self) -> int:
        """Per row: W X, the bias, the product with X0, and the diagonal if there is one."""
        return 2 * self.num_fields * self.width + (4 if self.diag_scale else 2) * self.width
