"""The gated DNN expert."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import Count
from ada_ensemble_tf.experts.base import Expert
from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.layers.precision import Activation


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class GatedDNNExpert(Expert):
    """Layers h' = 2 sigmoid(FFN(x)) * activation(W h + b), the first h being x; then a Dense to M.

    The gated DNN of AdaEnsemble's original release (arXiv 2301.08353). Each layer has an FFN of its own, M -> M /
    reduction -> M, which reads the expert's input x, not h. No gradient passes through the FFNs to x. All layers are M
    wide, because in the release a gate is as wide as the input of its layer. The factor 2 makes a gate 1 where its FFN
    outputs 0.

    Args:
        num_fields: F.
        num_layers: number of gated layers.
        activation: a Keras activation, of the layers and inside the FFNs.
        reduction: r, how many times narrower the FFNs' inner layers are than M.

    Raises:
        ValueError: for arguments out of range, named in the message.

    Example:
        >>> x0 = x = tf.ones([2, 12])
        >>> expert = GatedDNNExpert(num_fields=3)
        >>> expert(x0, x).shape
        TensorShape([2, 12])
        >>> expert.flops()
        984
    """

    def __init__(
        self,
        num_fields: Count,
        num_layers: Count = 2,
        activation: Activation = "relu",
        reduction: Count = 16,
        **kwargs: Any,
    ):
        super().__init__(num_fields, **kwargs)
        self.num_layers = num_layers
        self.activation = activation
        self.reduction = reduction

    def build(self, x0_shape: Shape, x_shape: Shape) -> None:
        super().build(x0_shape, x_shape)
        self.inner_width = max(1, self.width // self.reduction)
        self.hidden, self.squeeze, self.excite = [], [], []
        for i in range(1, self.num_layers + 1):
            self.hidden.append(Dense(self.width, activation=self.activation, name=f"hidden_{i}"))
            self.squeeze.append(Dense(self.inner_width, activation=self.activation, name=f"squeeze_{i}"))
            self.excite.append(Dense(self.width, activation="sigmoid", name=f"excite_{i}"))
            for layer in (self.hidden[-1], self.squeeze[-1]):
                layer.build((None, self.width))
            self.excite[-1].build((None, self.inner_width))
        self.project = Dense(self.width, name="project")
        self.project.build((None, self.width))

    def call(self, x0: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        gated_by = tf.stop_gradient(x)
        for hidden, squeeze, excite in zip(self.hidden, self.squeeze, self.excite, strict=True):
            x = 2.0 * excite(squeeze(gated_by)) * hidden(x)
        return self.project(x)

    def flops(self) -> int:
        """Per row: the layers with their FFNs and the products with the gates, and the last Dense."""
        width, layers = self.width, self.num_layers
        return 2 * width * ((layers + 1) * width + 2 * layers * self.inner_width) + layers * width

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "num_layers": self.num_layers,
            "activation": self.activation,
            "reduction": self.reduction,
        }
