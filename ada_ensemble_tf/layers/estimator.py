"""The estimator that reads a prediction off a feature map."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.layers.mlp import MLP
from ada_ensemble_tf.layers.precision import full_precision
from ada_ensemble_tf.layers.sharded_layer import ShardableLayer


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class Estimator(ShardableLayer):
    """The logit w . x + b of a feature map; with hidden layers w . x + v . MLP(x) + b.

    AdaEnsemble (arXiv 2301.08353), equation 17, without its sigmoid: models work with logits and apply the sigmoid
    once, at the end.

    Args:
        initial_logit: initial value of b. Starting at the log-odds of the base rate saves the first training steps.
        hidden_units: sizes of the rectified layers of an MLP beside the linear part; none by default.

    Call arguments:
        x: `[B, M]`.

    Returns:
        `[B]` float32.

    Example:
        >>> Estimator(initial_logit=-1.5)(tf.zeros([2, 6])).numpy()
        array([-1.5, -1.5], dtype=float32)
    """

    def __init__(self, initial_logit: float = 0.0, hidden_units: Sequence[int] = (), **kwargs: Any):
        kwargs["dtype"] = full_precision(kwargs.get("dtype"))
        super().__init__(**kwargs)
        self.initial_logit = initial_logit
        self.hidden_units = tuple(hidden_units)
        self.mlp = MLP(self.hidden_units, name="mlp") if self.hidden_units else None

    def build(self, x_shape: Shape) -> None:
        self.kernel = self.add_weight(name="kernel", shape=(x_shape[-1],), initializer=self._initial_kernel)
        self.bias = self.add_weight(name="bias", shape=(), initializer=keras.initializers.Constant(self.initial_logit))
        if self.mlp is not None:
            self.mlp.build(x_shape)
            shape = (self.hidden_units[-1],)
            self.mlp_kernel = self.add_weight(name="mlp_kernel", shape=shape, initializer=self._initial_kernel)

    @staticmethod
    def _initial_kernel(shape: Shape, dtype: Any) -> tf.Tensor:
        # Glorot's bound for M inputs and one output; Keras' initialiser needs a matrix.
        return keras.initializers.GlorotUniform()((shape[0], 1), dtype)[:, 0]

    def call(self, x: tf.Tensor) -> tf.Tensor:
        logit = tf.linalg.matvec(tf.cast(x, tf.float32), tf.convert_to_tensor(self.kernel)) + self.bias
        if self.mlp is None:
            return logit
        return logit + tf.linalg.matvec(tf.cast(self.mlp(x), tf.float32), tf.convert_to_tensor(self.mlp_kernel))

    def compute_output_shape(self, x_shape: Shape) -> Shape:
        return (x_shape[0],)

    def flops(self) -> int:
        """Floating-point operations per row."""
        linear = 2 * self.kernel.shape[0]
        return linear if self.mlp is None else linear + self.mlp.flops() + 2 * self.hidden_units[-1]

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "initial_logit": self.initial_logit,
            "hidden_units": list(self.hidden_units),
        }
