"""The residual DNN expert."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import Count
from ada_ensemble_tf.experts.base import Expert
from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.layers.residual_unit import ResidualUnit


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class ResidualDNNExpert(Expert):
    """A stack of residual units h' = relu(W_1 relu(W_0 h + b_0) + b_1 + h), from h = x; see `ResidualUnit`.

    The residual units of Deep Crossing (Shan et al., KDD 2016), where W_0 has M / reduction rows. An expert has no
    residual around it. The residuals inside, each over a single unit, define this network; the mixture's layer still
    adds its own x.

    Args:
        num_fields: F.
        num_layers: number of residual units.
        reduction: how many times narrower than M a unit is inside.

    Raises:
        ValueError: for arguments out of range, named in the message.

    Example:
        >>> x0 = x = tf.ones([2, 12])
        >>> expert = ResidualDNNExpert(num_fields=3)
        >>> expert(x0, x).shape
        TensorShape([2, 12])
        >>> expert.flops()
        312
    """

    def __init__(self, num_fields: Count, num_layers: Count = 2, reduction: Count = 4, **kwargs: Any):
        super().__init__(num_fields, **kwargs)
        self.num_layers = num_layers
        self.reduction = reduction

    def build(self, x0_shape: Shape, x_shape: Shape) -> None:
        super().build(x0_shape, x_shape)
        inner_width = max(1, self.width // self.reduction)
        self.units = []
        for i in range(1, self.num_layers + 1):
            self.units.append(ResidualUnit(inner_width, name=f"unit_{i}"))
            self.units[-1].build((None, self.width))

    def call(self, x0: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        for unit in self.units:
            x = unit(x)
        return x

    def flops(self) -> int:
        """Per row: both products of each unit and its residual."""
        return sum(unit.flops() for unit in self.units)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"num_layers": self.num_layers, "reduction": self.reduction}
