"""The residual unit of Deep Crossing."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.layers.mlp import MLP
from ada_ensemble_tf.layers.sharded_layer import ShardableLayer


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class ResidualUnit(ShardableLayer):
    """relu(W_1 relu(W_0 x + b_0) + b_1 + x) (Deep Crossing, KDD 2016, the residual layers).

    The second ReLU comes after the addition, as in the paper; some public code applies it before.

    Args:
        units: H, rows of W_0.
        normalization: of W_0 x + b_0: "batch", "layer" or "none".
        dropout: share of the H inner values that training sets to 0.

    Call arguments:
        x: `[B, M]`, B may be 0.
        training: whether to apply dropout and use the batch's statistics.

    Returns:
        `[B, M]`.

    Raises:
        ValueError: for arguments out of range, named in the message.

    Example:
        >>> ResidualUnit(units=3)(tf.ones([2, 6])).shape
        TensorShape([2, 6])
    """

    def __init__(self, units: int, normalization: str = "none", dropout: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = units
        self.normalization = normalization
        self.dropout = dropout
        self.inner = MLP([units], "relu", normalization, dropout, name="inner")

    def build(self, x_shape: Shape) -> None:
        self.inner.build(x_shape)
        self.outer = Dense(x_shape[-1], name="outer")
        self.outer.build((None, self.units))

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        return tf.nn.relu(self.outer(self.inner(x, training=training)) + x)

    def compute_output_shape(self, x_shape: Shape) -> Shape:
        return x_shape

    def flops(self) -> int:
        """Per row: both products with kernels, and the residual."""
        inner, width = self.outer.kernel.shape
        return self.inner.flops() + 2 * inner * width + width

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "units": self.units,
            "normalization": self.normalization,
            "dropout": self.dropout,
        }
