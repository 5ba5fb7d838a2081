"""The self-gated DNN expert."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import Count
from ada_ensemble_tf.experts.base import Expert
from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.layers.precision import Activation


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class SelfGatedDNNExpert(Expert):
    """Layers h' = a * sigmoid(V a + c) with a = activation(W h + b), the first h being x; then a Dense to M.

    The hidden gate of GateNet (arXiv 2007.03519): each layer gates its own outputs, element by element. All layers are
    M / reduction wide. The gates of the `gated_dnn` expert read x instead.

    Args:
        num_fields: F.
        num_layers: number of gated layers.
        activation: a Keras activation, of the gated layers.
        reduction: how many times narrower the gated layers are than M.

    Raises:
        ValueError: for arguments out of range, named in the message.

    Example:
        >>> x0 = x = tf.ones([2, 12])
        >>> expert = SelfGatedDNNExpert(num_fields=3)
        >>> expert(x0, x).shape
        TensorShape([2, 12])
        >>> expert.flops()
        204
    """

    def __init__(
        self,
        num_fields: Count,
        num_layers: Count = 2,
        activation: Activation = "relu",
        reduction: Count = 4,
        **kwargs: Any,
    ):
        super().__init__(num_fields, **kwargs)
        self.num_layers = num_layers
        self.activation = activation
        self.reduction = reduction

    def build(self, x0_shape: Shape, x_shape: Shape) -> None:
        super().build(x0_shape, x_shape)
        self.inner_width = max(1, self.width // self.reduction)
        self.hidden, self.gates = [], []
        width = self.width
        for i in range(1, self.num_layers + 1):
            self.hidden.append(Dense(self.inner_width, activation=self.activation, name=f"hidden_{i}"))
            self.hidden[-1].build((None, width))
            self.gates.append(Dense(self.inner_width, activation="sigmoid", name=f"gate_{i}"))
            self.gates[-1].build((None, self.inner_width))
            width = self.inner_width
        self.project = Dense(self.width, name="project")
        self.project.build((None, width))

    def call(self, x0: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        for hidden, gate in zip(self.hidden, self.gates, strict=True):
            x = hidden(x)
            x = x * gate(x)
        return self.project(x)

    def flops(self) -> int:
        """Per row: the hidden layers, their gates and the products with them, and the last Dense."""
        inner, layers = self.inner_width, self.num_layers
        squares = 2 * layers - 1
        return 2 * inner * (2 * self.width + squares * inner) + layers * inner

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "num_layers": self.num_layers,
            "activation": self.activation,
            "reduction": self.reduction,
        }
