"""The vector-wise dense expert."""

import keras
import tensorflow as tf

from ada_ensemble_tf.experts.base import Expert
from ada_ensemble_tf.experts.dense import DenseExpert
from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.fields import Shape


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class VectorDenseExpert(DenseExpert):
    """activation(W X + b), X `[F, D]` and W `[F, F]`: the dense expert with whole fields in place of single elements.

    The dense layer of AdaEnsemble's original release (arXiv 2301.08353) on x read as `[B, F, D]`: it mixes fields, in
    the same way for each of the D elements, and adds one bias a field.

    Args:
        num_fields: F.
        activation: a Keras activation.

    Example:
        >>> x0 = x = tf.ones([2, 12])
        >>> expert = VectorDenseExpert(num_fields=3)
        >>> expert(x0, x).shape
        TensorShape([2, 12])
        >>> expert.flops()
        72
    """

    def build(self, x0_shape: Shape, x_shape: Shape) -> None:
        # Not that of the base, whose kernel is [M, M].
        Expert.build(self, x0_shape, x_shape)
        self.mix = Dense(self.num_fields, name="mix")
        self.mix.build((None, self.dimension, self.num_fields))

    def before_activation(self, x0: tf.Tensor, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        return mixed_fields(self.mix, x, self.num_fields)

    def flops(self) -> int:
        """Per row: W X."""
        return 2 * self.num_fields * self.width


def mixed_fields(mix: Dense, x: tf.Tensor, num_fields: int) -> tf.Tensor:
    """x `[B, M]` with `mix`, which maps F values to F, applied to the fields, once for each of the D elements.

    Example:
        >>> mix = Dense(2, kernel_initializer="ones")
        >>> mixed_fields(mix, tf.constant([[1.0, 2.0, 10.0, 20.0]]), num_fields=2).numpy()
        array([[11., 22., 11., 22.]], dtype=float32)
    """
    width = x.shape[-1]
    by_element = tf.transpose(tf.reshape(x, [-1, num_fields, width // num_fields]), [0, 2, 1])
    return tf.reshape(tf.transpose(mix(by_element), [0, 2, 1]), [-1, width])
