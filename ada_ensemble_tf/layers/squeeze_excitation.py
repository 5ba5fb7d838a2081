"""Squeeze-and-excitation over the fields of a row."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.fields import Shape, field_dimension


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class SqueezeExcitation(keras.layers.Layer):
    """v_i = a_i e_i: each field gets a weight computed from all fields of its row.

    z_i = mean_d e_id, a = relu(W_2 relu(W_1 z)), where W_1 maps F to F / r values and W_2 maps back, both without bias.
    FiBiNET (arXiv 1905.09433), section on the SENET layer: its squeeze, excitation and re-weight steps.

    Args:
        num_fields: F.
        reduction: r; at least one unit remains.

    Call arguments:
        x: `[B, M]`, B may be 0.

    Returns:
        `[B, M]`.

    Raises:
        ValueError: for arguments out of range, or if M is not a multiple of F.

    Example:
        >>> SqueezeExcitation(num_fields=3)(tf.ones([2, 6])).shape
        TensorShape([2, 6])
    """

    def __init__(self, num_fields: int, reduction: int = 3, **kwargs: Any):
        super().__init__(**kwargs)
        if num_fields < 1 or reduction < 1:
            raise ValueError(
                f"num_fields and reduction must be at least 1; "
                f"received num_fields={num_fields} and reduction={reduction}"
            )
        self.num_fields = num_fields
        self.reduction = reduction
        units = max(1, num_fields // reduction)
        self.squeeze = Dense(units, activation="relu", use_bias=False, name="squeeze")
        self.excite = Dense(num_fields, activation="relu", use_bias=False, name="excite")

    def build(self, x_shape: Shape) -> None:
        self.dimension = field_dimension(x_shape, self.num_fields)
        self.squeeze.build((None, self.num_fields))
        self.excite.build((None, self.squeeze.units))

    def call(self, x: tf.Tensor) -> tf.Tensor:
        fields = tf.reshape(x, [-1, self.num_fields, self.dimension])
        weights = self.excite(self.squeeze(tf.reduce_mean(fields, axis=2)))
        return tf.reshape(fields * weights[:, :, None], [-1, self.num_fields * self.dimension])

    def compute_output_shape(self, x_shape: Shape) -> Shape:
        return x_shape

    def flops(self) -> int:
        """Per row: the means, both products with kernels and the weighting."""
        return 2 * self.num_fields * self.dimension + 4 * self.num_fields * self.squeeze.units

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"num_fields": self.num_fields, "reduction": self.reduction}
