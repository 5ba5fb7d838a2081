"""The identity expert."""

import keras
import tensorflow as tf

from ada_ensemble_tf.experts.base import Expert


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class IdentityExpert(Expert):
    """x: a choice that costs nothing, as in AdaEnsemble's original release (arXiv 2301.08353).

    Args:
        num_fields: F.

    Example:
        >>> IdentityExpert(num_fields=1)(tf.zeros([1, 2]), tf.constant([[3.0, 4.0]])).numpy()
        array([[3., 4.]], dtype=float32)
    """

    def call(self, x0: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        return x

    def flops(self) -> int:
        """None."""
        return 0
