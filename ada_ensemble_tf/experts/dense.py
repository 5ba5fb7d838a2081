"""The dense expert."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import Count
from ada_ensemble_tf.experts.base import Expert
from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.layers.precision import Activation, apply_activation


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class DenseExpert(Expert):
    """activation(W x + b): implicit interactions (AdaEnsemble, arXiv 2301.08353, equation 2).

    Args:
        num_fields: F.
        activation: a Keras activation.

    Example:
        >>> x0 = x = tf.ones([2, 12])
        >>> expert = DenseExpert(num_fields=3)
        >>> expert(x0, x).shape
        TensorShape([2, 12])
        >>> expert.flops()
        288
    """

    def __init__(self, num_fields: Count, activation: Activation = "relu", **kwargs: Any):
        super().__init__(num_fields, **kwargs)
        self.activation = activation

    def build(self, x0_shape: Shape, x_shape: Shape) -> None:
        super().build(x0_shape, x_shape)
        self.dense = Dense(self.width, name="dense")
        self.dense.build(x_shape)

    def call(self, x0: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        return self.activate(x0, self.before_activation(x0, x))

    def before_activation(self, x0: tf.Tensor, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.dense(x)

    def activate(self, x0: tf.Tensor, sums: tf.Tensor) -> tf.Tensor:
        return apply_activation(keras.activations.get(self.activation), sums)

    def flops(self) -> int:
        """Per row: W x."""
        return 2 * self.width * self.width

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"activation": self.activation}
