"""The convolution expert."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import Count
from ada_ensemble_tf.experts.base import Expert
from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.layers.precision import Activation


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class ConvolutionExpert(Expert):
    """Dense to a short sequence, Conv1D, MaxPool1D, flatten, Dense to M (AdaEnsemble, arXiv 2301.08353, equation 3).

    What the paper does not give is as in its original release: the sizes, and no activation anywhere. The convolution
    of the one-channel sequence is a matrix product over its windows, because Keras' Conv1D fails for zero rows outside
    a graph on CPU.

    Args:
        num_fields: F; the sequence has F // 2 elements, or as many as one pool needs if that is more.
        filters: filters of the convolution.
        kernel_size: elements that a filter spans; no padding.
        pool_size: elements per pool.
        activation: a Keras activation, of the first Dense and the convolution.

    Example:
        >>> x0 = x = tf.ones([2, 12])
        >>> expert = ConvolutionExpert(num_fields=3)
        >>> expert(x0, x).shape
        TensorShape([2, 12])
        >>> expert.flops()
        760
    """

    def __init__(
        self,
        num_fields: Count,
        filters: Count = 16,
        kernel_size: Count = 4,
        pool_size: Count = 2,
        activation: Activation = "linear",
        **kwargs: Any,
    ):
        super().__init__(num_fields, **kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.pool_size = pool_size
        self.activation = activation
        self.length = max(num_fields // 2, kernel_size + pool_size - 1)
        self.positions = self.length - kernel_size + 1
        self.pooled = self.positions // pool_size

    def build(self, x0_shape: Shape, x_shape: Shape) -> None:
        super().build(x0_shape, x_shape)
        self.shorten = Dense(self.length, activation=self.activation, name="shorten")
        self.shorten.build(x_shape)
        self.convolve = Dense(self.filters, activation=self.activation, name="convolve")
        self.convolve.build((None, self.positions, self.kernel_size))
        self.project = Dense(self.width, name="project")
        self.project.build((None, self.pooled * self.filters))

    def call(self, x0: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        sequence = self.shorten(x)
        windows = tf.stack([sequence[:, i : i + self.positions] for i in range(self.kernel_size)], axis=-1)
        convolved = self.convolve(windows)[:, : self.pooled * self.pool_size]
        pools = tf.reshape(convolved, [-1, self.pooled, self.pool_size, self.filters])
        flat = tf.reshape(tf.reduce_max(pools, axis=2), [-1, self.pooled * self.filters])
        return self.project(flat)

    def flops(self) -> int:
        """Per row: both Dense layers and the filters at every position."""
        return 2 * (
            self.width * self.length
            + self.positions * self.kernel_size * self.filters
            + self.pooled * self.filters * self.width
        )

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "pool_size": self.pool_size,
            "activation": self.activation,
        }
