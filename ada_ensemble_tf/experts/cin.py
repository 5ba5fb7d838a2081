"""The compressed interaction network expert."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import Count, SomeCounts
from ada_ensemble_tf.experts.base import Expert
from ada_ensemble_tf.layers.cin import CompressedInteractionNetwork
from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.fields import Shape


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class CINExpert(Expert):
    """Dense(CIN(x)): vector-wise interactions of x's fields of bounded degree (xDeepFM, arXiv 1803.05170, section 3.1).

    The CIN's X^0 is x, the previous layer's output, not the embedding output.

    Args:
        num_fields: F.
        feature_maps: sizes of the CIN's layers, see `CompressedInteractionNetwork`.

    Raises:
        ValueError: if a size is not positive or there is none.

    Example:
        >>> x0 = x = tf.ones([2, 12])
        >>> expert = CINExpert(num_fields=3)
        >>> expert(x0, x).shape
        TensorShape([2, 12])
        >>> expert.flops()
        8420
    """

    def __init__(self, num_fields: Count, feature_maps: SomeCounts = (16, 16), **kwargs: Any):
        super().__init__(num_fields, **kwargs)
        self.network = CompressedInteractionNetwork(num_fields, feature_maps, name="network")

    def build(self, x0_shape: Shape, x_shape: Shape) -> None:
        super().build(x0_shape, x_shape)
        self.network.build(x_shape)
        self.project = Dense(self.width, name="project")
        self.project.build((None, sum(self.network.feature_maps)))

    def call(self, x0: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        return self.project(self.network(x))

    def flops(self) -> int:
        """Per row: the network and the Dense."""
        return self.network.flops() + 2 * sum(self.network.feature_maps) * self.width

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"feature_maps": list(self.network.feature_maps)}
