"""The linear interaction module."""

import keras
import tensorflow as tf

from ada_ensemble_tf.dhen.base import InteractionModule
from ada_ensemble_tf.dhen.list_projection import ListProjection
from ada_ensemble_tf.layers.fields import Shape


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class LinearModule(InteractionModule):
    """u = W X on the list axis, without bias (DHEN, arXiv 2203.11014, equation 6).

    Args:
        num_outputs: l.

    Example:
        >>> LinearModule(num_outputs=2)(tf.ones([1, 3, 4])).shape
        TensorShape([1, 2, 4])
    """

    def build(self, x_shape: Shape) -> None:
        super().build(x_shape)
        self.project = ListProjection(self.num_outputs, name="project")
        self.project.build(x_shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return self.project(x)

    def flops(self) -> int:
        """Per row: W X."""
        return self.project.flops()
