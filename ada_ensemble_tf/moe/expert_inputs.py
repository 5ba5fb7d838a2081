"""Normalisation of what each expert reads."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.layers.normalization import RoutedBatchNormalization


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class ExpertInputNormalization(keras.layers.Layer):
    """Batch normalisation of the experts' input with a scale and a shift for each expert.

    Mean and variance cover all rows of the layer, not only an expert's own, so calling the layer before rows are
    dispatched serves all experts. Over its own rows, an expert's statistics would jump with each change of the routing
    (K falls, noise is off in inference), be noise where it gets few rows, and differ between dispatchers.

    Args:
        num_experts: E.
        parts: of how many feature maps x is made, of which an expert reads one.

    Call arguments:
        x: `[B, parts M]`, B may be 0.
        training: whether to use (and update) the batch's statistics.

    Returns:
        `[B, parts M]`, standardised; `of_expert` applies an expert's scale and shift to its rows.

    Example:
        >>> normalize = ExpertInputNormalization(num_experts=2)
        >>> normalize.of_expert(1, normalize(tf.constant([[1.0], [5.0]]), training=True)).numpy().round(2)
        array([[-1.],
               [ 1.]], dtype=float32)
    """

    def __init__(self, num_experts: int, parts: int = 1, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        self.num_experts = num_experts
        self.parts = parts
        self.standardize = RoutedBatchNormalization(affine=False, name="standardize")

    def build(self, x_shape: Shape) -> None:
        self.standardize.build(x_shape)
        shape = (self.num_experts, x_shape[-1] // self.parts)
        self.gamma = self.add_weight(name="gamma", shape=shape, initializer="ones", autocast=False)
        self.beta = self.add_weight(name="beta", shape=shape, initializer="zeros", autocast=False)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.standardize(x, training=training)

    def of_expert(self, expert: int, rows: tf.Tensor) -> tf.Tensor:
        """Rows `[B_j, M]` of what the expert reads of a call's result, with the scale and shift of an expert."""
        scaled = tf.cast(rows, self.variable_dtype) * self.gamma[expert] + self.beta[expert]
        return tf.cast(scaled, self.compute_dtype)

    def compute_output_shape(self, x_shape: Shape) -> Shape:
        return x_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"num_experts": self.num_experts, "parts": self.parts}
