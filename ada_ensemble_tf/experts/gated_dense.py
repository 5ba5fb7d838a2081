"""The gated dense expert."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import Count
from ada_ensemble_tf.experts.dense import DenseExpert
from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.layers.precision import Activation


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class GatedDenseExpert(DenseExpert):
    """2 sigmoid(FFN(x0)) * activation(W x + b), the FFN being M -> M / reduction (ReLU) -> M.

    This is the dense expert of AdaEnsemble's original release; the paper's tables (arXiv 2301.08353) give the FLOPs of
    this form. The factor 2 makes the gate 1 where the FFN outputs 0.

    Args:
        num_fields: F.
        activation: a Keras activation, of the dense part.
        reduction: r, how many times narrower the FFN's inner layer is than M.

    Example:
        >>> x0 = x = tf.ones([2, 12])
        >>> expert = GatedDenseExpert(num_fields=3)
        >>> expert(x0, x).shape
        TensorShape([2, 12])
        >>> expert.flops()
        336
    """

    reads_x0 = True

    def __init__(self, num_fields: Count, activation: Activation = "relu", reduction: Count = 16, **kwargs: Any):
        super().__init__(num_fields, activation, **kwargs)
        self.reduction = reduction

    def build(self, x0_shape: Shape, x_shape: Shape) -> None:
        super().build(x0_shape, x_shape)
        self.inner_width = max(1, self.width // self.reduction)
        self.squeeze = Dense(self.inner_width, activation="relu", name="squeeze")
        self.squeeze.build(x0_shape)
        self.excite = Dense(self.width, activation="sigmoid", name="excite")
        self.excite.build((x0_shape[0], self.inner_width))

    def activate(self, x0: tf.Tensor, sums: tf.Tensor) -> tf.Tensor:
        return 2.0 * self.excite(self.squeeze(x0)) * super().activate(x0, sums)

    def flops(self) -> int:
        """Per row: W x and the two layers of the FFN."""
        return super().flops() + 4 * self.width * self.inner_width

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"reduction": self.reduction}
