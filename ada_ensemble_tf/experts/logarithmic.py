"""The logarithmic expert."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.experts.base import Expert
from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.layers.precision import full_precision, upcast


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class LogarithmicExpert(Expert):
    """Dense([y_1 .. y_H]), y_h = exp(min(sum_f w_fh ln max(|x_f|, floor), max_exponent)): prod_f |x_f|^w_fh, bounded.

    The logarithmic transformation layer of AFN (arXiv 1909.03276): each of H neurons learns one power per field and
    multiplies the powers of all fields, separately for each of the D elements. Signs are lost, as in AFN. AFN's two
    batch normalisations are left out: an expert may see only a part of the batch, or no rows, and the layer around it
    normalises. Bounds replace them: `floor` for magnitudes near zero, `max_exponent` for large products, which have no
    gradient beyond it.

    Args:
        num_fields: F.
        neurons: H.
        floor: magnitudes below it are raised to it.
        max_exponent: the logarithm of the largest y.

    Raises:
        ValueError: for arguments out of range, named in the message.

    Example:
        >>> x0 = x = tf.ones([2, 12])
        >>> expert = LogarithmicExpert(num_fields=3)
        >>> expert(x0, x).shape
        TensorShape([2, 12])
        >>> expert.flops()
        3840
    """

    def __init__(
        self, num_fields: int, neurons: int = 32, floor: float = 1e-4, max_exponent: float = 10.0, **kwargs: Any
    ):
        super().__init__(num_fields, **kwargs)
        if neurons < 1:
            raise ValueError(f"neurons must be at least 1; received {neurons}")
        if floor <= 0.0:
            raise ValueError(f"floor must be positive; received {floor}")
        if not 0.0 < max_exponent <= 80.0:
            # exp(88.7) is float32's largest number.
            raise ValueError(f"max_exponent must lie in (0, 80]; received {max_exponent}")
        self.neurons = neurons
        self.floor = floor
        self.max_exponent = max_exponent

    def build(self, x0_shape: Shape, x_shape: Shape) -> None:
        super().build(x0_shape, x_shape)
        # Small powers keep the first products near 1: with random signs, tens of fields give exponents of about 1.
        initializer = keras.initializers.RandomNormal(stddev=0.1)
        # An exponent's rounding error is the product's relative error.
        dtype = full_precision(self.dtype_policy)
        self.powers = Dense(self.neurons, use_bias=False, kernel_initializer=initializer, dtype=dtype, name="powers")
        self.powers.build((None, self.dimension, self.num_fields))
        self.project = Dense(self.width, name="project")
        self.project.build((None, self.dimension * self.neurons))

    def call(self, x0: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        fields = tf.reshape(upcast(x), [-1, self.num_fields, self.dimension])
        logarithms = tf.transpose(tf.math.log(tf.maximum(tf.abs(fields), self.floor)), [0, 2, 1])
        products = tf.exp(tf.minimum(self.powers(logarithms), self.max_exponent))
        return self.project(tf.reshape(products, [-1, self.dimension * self.neurons]))

    def flops(self) -> int:
        """Per row: the weighted sums of logarithms and the Dense."""
        return 2 * self.neurons * (self.width + self.dimension * self.width)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "neurons": self.neurons,
            "floor": self.floor,
            "max_exponent": self.max_exponent,
        }
