"""The logarithmic expert."""

from typing import Annotated, Any

import keras
import tensorflow as tf
from msgspec import Meta

from ada_ensemble_tf.arguments import Count
from ada_ensemble_tf.experts.base import Expert
from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.layers.normalization import RoutedBatchNormalization
from ada_ensemble_tf.layers.precision import full_precision, upcast


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class LogarithmicExpert(Expert):
    """Dense([BN(y_1) .. BN(y_H)]), y_h = exp(min(sum_f w_fh BN(ln |x_f|), max_exponent)): prod_f |x_f|^w_fh, scaled.

    The logarithmic transformation layer of AFN (arXiv 1909.03276): each of H neurons learns one power per field and
    multiplies the powers of all fields, separately for each of the D elements. Signs are lost, as in AFN. Magnitudes
    are clipped to [floor, 1 / floor] before the logarithm. As in AdaEnsemble's original release (arXiv 2301.08353), BN
    normalises each of the D elements over the rows that the expert gets and their fields, and over rows and neurons
    the second time. The bound `max_exponent`, beyond which there is no gradient, is not in either: the second BN's
    squares must stay finite.

    Args:
        num_fields: F.
        neurons: H.
        floor: the smallest magnitude, below 1.
        max_exponent: the logarithm of the largest y, at most 30.

    Call arguments:
        training: whether to use and update the statistics of the batch.

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
        self,
        num_fields: Count,
        neurons: Count = 32,
        floor: Annotated[float, Meta(gt=0.0, lt=1.0, description="lie between 0 and 1")] = 1e-4,
        max_exponent: Annotated[float, Meta(gt=0.0, le=30.0, description="lie in (0, 30]")] = 10.0,
        **kwargs: Any,
    ):
        super().__init__(num_fields, **kwargs)
        self.neurons = neurons
        self.floor = floor
        self.max_exponent = max_exponent

    def build(self, x0_shape: Shape, x_shape: Shape) -> None:
        super().build(x0_shape, x_shape)
        # Small powers keep the first products near 1: tens of normalised logarithms give exponents of about 1.
        initializer = keras.initializers.RandomNormal(stddev=0.1)
        # An exponent's rounding error is the product's relative error.
        dtype = full_precision(self.dtype_policy)
        self.normalize_logarithms, self.normalize_products = (
            RoutedBatchNormalization(dtype=dtype, name=f"normalize_{what}") for what in ("logarithms", "products")
        )
        for normalize in (self.normalize_logarithms, self.normalize_products):
            normalize.build((None, self.dimension))
        self.powers = Dense(self.neurons, use_bias=False, kernel_initializer=initializer, dtype=dtype, name="powers")
        self.powers.build((None, self.dimension, self.num_fields))
        self.project = Dense(self.width, name="project")
        self.project.build((None, self.neurons * self.dimension))

    def call(self, x0: tf.Tensor, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        elements = tf.reshape(upcast(x), [-1, self.dimension])
        logarithms = tf.math.log(tf.clip_by_value(tf.abs(elements), self.floor, 1.0 / self.floor))
        normal = self.normalize_logarithms(logarithms, training=training)
        exponents = self.powers(tf.transpose(tf.reshape(normal, [-1, self.num_fields, self.dimension]), [0, 2, 1]))
        products = tf.transpose(tf.exp(tf.minimum(exponents, self.max_exponent)), [0, 2, 1])
        scaled = self.normalize_products(tf.reshape(products, [-1, self.dimension]), training=training)
        return self.project(tf.reshape(scaled, [-1, self.neurons * self.dimension]))

    def flops(self) -> int:
        """Per row: the weighted sums of logarithms and the Dense."""
        return 2 * self.neurons * (self.width + self.dimension * self.width)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "neurons": self.neurons,
            "floor": self.floor,
            "max_exponent": self.max_exponent,
        }
