"""The plain stack of dense layers that the deep baselines share."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.dropout import make_dropout
from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.layers.normalization import make_normalization
from ada_ensemble_tf.layers.precision import apply_activation
from ada_ensemble_tf.layers.sharded_layer import ShardableLayer


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class MLP(ShardableLayer):
    """x_{l+1} = dropout(activation(normalise(W_l x_l + b_l))), the deep part of the click models.

    Args:
        hidden_units: sizes of the layers, H the last of them.
        activation: a Keras activation.
        normalization: what normalises each layer's sums: "batch", "layer" or "none".
        dropout: share of each layer's outputs that training sets to 0.

    Call arguments:
        x: `[B, X]`, B may be 0.
        training: whether to apply dropout and use the batch's statistics.

    Returns:
        `[B, H]`.

    Raises:
        ValueError: for arguments out of range, named in the message.

    Example:
        >>> mlp = MLP([8, 4], normalization="batch", dropout=0.1)
        >>> mlp(tf.ones([2, 6])).shape
        TensorShape([2, 4])
        >>> mlp.flops()
        160
    """

    def __init__(
        self,
        hidden_units: Sequence[int],
        activation: str = "relu",
        normalization: str = "none",
        dropout: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not len(hidden_units) or min(hidden_units) < 1:
            raise ValueError(f"hidden_units must be one or more positive sizes; received {list(hidden_units)}")
        self.hidden_units = tuple(int(units) for units in hidden_units)
        self.activation = activation
        self.activate = keras.activations.get(activation)
        self.normalization = normalization
        self.dropout = dropout
        self.dense_layers = [Dense(u, name=f"dense_{i}") for i, u in enumerate(self.hidden_units, 1)]
        self.norms = [make_normalization(normalization, f"normalize_{i}") for i in range(1, 1 + len(self.hidden_units))]
        self.drop = make_dropout(dropout)

    def build(self, x_shape: Shape) -> None:
        shape = tuple(x_shape)
        for dense, norm in zip(self.dense_layers, self.norms, strict=True):
            dense.build(shape)
            shape = (None, dense.units)
            norm.build(shape)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        for dense, norm in zip(self.dense_layers, self.norms, strict=True):
            x = apply_activation(self.activate, norm(dense(x), training=training))
            if self.drop is not None:
                x = self.drop(x, training=training)
        return x

    def compute_output_shape(self, x_shape: Shape) -> Shape:
        return (x_shape[0], self.hidden_units[-1])

    def flops(self) -> int:
        """Floating-point operations per row: the products with the kernels, two a multiply-add."""
        return sum(2 * dense.kernel.shape[0] * dense.kernel.shape[1] for dense in self.dense_layers)

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments, for the config of this layer and of models that take the same arguments."""
        return {
            "hidden_units": list(self.hidden_units),
            "activation": self.activation,
            "normalization": self.normalization,
            "dropout": self.dropout,
        }

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | self.arguments()
