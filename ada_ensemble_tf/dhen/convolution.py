"""The convolution interaction module."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.dhen.base import InteractionModule
from ada_ensemble_tf.dhen.list_projection import ListProjection
from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.fields import Shape


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class ConvolutionModule(InteractionModule):
    """u = W activation(Conv2D(X)) over the m x D map of the list (DHEN, arXiv 2203.11014, equation 5).

    The map is padded with zeros, so each filter gives m embeddings of size D, and W maps all of these to l. The paper
    does not give the sizes and the activation; its m x l W fits a single filter. The convolution is a matrix product
    over windows, because TensorFlow's returns a wrong shape for zero rows on CPU.

    Args:
        num_outputs: l.
        filters: filters of the convolution.
        kernel_size: embeddings, and dimensions of each, that a filter spans.
        activation: a Keras activation, applied after the convolution.

    Raises:
        ValueError: for arguments out of range.

    Example:
        >>> ConvolutionModule(num_outputs=2)(tf.ones([1, 3, 4])).shape
        TensorShape([1, 2, 4])
    """

    def __init__(
        self, num_outputs: int, filters: int = 4, kernel_size: int = 3, activation: str = "relu", **kwargs: Any
    ):
        super().__init__(num_outputs, **kwargs)
        if filters < 1 or kernel_size < 1:
            raise ValueError(
                f"filters and kernel_size must be at least 1; received filters={filters} and kernel_size={kernel_size}"
            )
        self.filters = filters
        self.kernel_size = kernel_size
        self.activation = activation

    def build(self, x_shape: Shape) -> None:
        super().build(x_shape)
        self.convolve = Dense(self.filters, activation=self.activation, name="convolve")
        self.convolve.build((None, self.num_inputs, self.dimension, self.kernel_size**2))
        self.project = ListProjection(self.num_outputs, name="project")
        self.project.build((None, self.num_inputs * self.filters, self.dimension))

    def call(self, x: tf.Tensor) -> tf.Tensor:
        size, rows, columns = self.kernel_size, self.num_inputs, self.dimension
        before, after = (size - 1) // 2, size // 2
        padded = tf.pad(x, [[0, 0], [before, after], [before, after]])
        shifts = [padded[:, i : i + rows, j : j + columns] for i in range(size) for j in range(size)]
        convolved = self.convolve(tf.stack(shifts, axis=-1))
        maps = tf.transpose(convolved, [0, 3, 1, 2])
        return self.project(tf.reshape(maps, [-1, self.filters * rows, columns]))

    def flops(self) -> int:
        """Per row: the filters at every place of the map, and W."""
        return 2 * self.num_inputs * self.dimension * self.kernel_size**2 * self.filters + self.project.flops()

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "activation": self.activation,
        }
