"""A learned fusion of all experts, the same for all rows."""

from collections.abc import Sequence
from typing import Annotated, Any

import keras
import numpy as np
import tensorflow as tf

from ada_ensemble_tf.arguments import Among
from ada_ensemble_tf.gates import GateReport, gate_report
from ada_ensemble_tf.gates.smooth_step import smooth_step
from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.layers.precision import upcast
from ada_ensemble_tf.moe.sparsemax import sparsemax

FUSION_MODES = ("vector", "bit")
FusionMode = Annotated[str, Among(FUSION_MODES)]
FUSION_ACTIVATIONS = ("sigmoid", "smooth_step", "softmax", "sparsemax")
FusionActivation = Annotated[str, Among(FUSION_ACTIVATIONS)]


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class SparseFusion(keras.layers.Layer):
    """sum_j a_j * E_j, with learned weights a, the same for all rows; sparse if the activation has exact zeros.

    The fusion of AdaEnsemble's original release. The weights are an activation over experts. Its logits start at 0:

    - "sigmoid" is 2 sigmoid(s), and "smooth_step" is 2 S(s) with a slope of width 2. Each weight is independent, lies
      in [0, 2] and starts at 1.
    - "softmax" and "sparsemax" (arXiv 1602.02068) are of s / temperature. The weights sum to 1 and start at 1 / E. The
      temperature is learned and starts at 1; it is the softplus of a variable, so it stays positive.

    The logits are ordinary weights, trained with the experts; they are not a `Gate`.

    Args:
        num_experts: E.
        mode: "vector" for one weight per expert, or "bit" for one per expert and dimension of the feature map.
        activation: one of `FUSION_ACTIVATIONS`.

    Call arguments:
        outputs: the E experts' outputs, each `[B, M]`; B may be 0.

    Returns:
        `[B, M]`; float32 for bfloat16 outputs.

    Raises:
        ValueError: for an unknown mode or activation, or a wrong number of outputs.

    Example:
        >>> SparseFusion(num_experts=2)([tf.ones([1, 3]), tf.zeros([1, 3])]).numpy()
        array([[0.5, 0.5, 0.5]], dtype=float32)
    """

    def __init__(self, num_experts: int, mode: str = "vector", activation: str = "softmax", **kwargs: Any):
        # Under mixed precision the weights stay float32, and the outputs are not cast.
        super().__init__(autocast=False, **kwargs)
        if num_experts < 1:
            raise ValueError(f"num_experts must be positive; received {num_experts}")
        if mode not in FUSION_MODES:
            raise ValueError(f"mode of the fusion must be one of {FUSION_MODES}; received {mode!r}")
        if activation not in FUSION_ACTIVATIONS:
            raise ValueError(f"activation of the fusion must be one of {FUSION_ACTIVATIONS}; received {activation!r}")
        self.num_experts = num_experts
        self.mode = mode
        self.activation = activation

    def build(self, outputs_shape: Shape | Sequence[Shape]) -> None:
        shape = outputs_shape[0] if isinstance(outputs_shape[0], Sequence) else outputs_shape
        width = 1 if self.mode == "vector" else shape[-1]
        shape = (self.num_experts, width)
        self.logits = self.add_weight(name="logits", shape=shape, initializer="zeros", autocast=False)
        self.raw_temperature = None
        if self.activation in ("softmax", "sparsemax"):
            one = keras.initializers.Constant(float(np.log(np.expm1(1.0))))
            self.raw_temperature = self.add_weight(
                name="raw_temperature", shape=(width,), initializer=one, autocast=False
            )

    @property
    def temperature(self) -> tf.Tensor:
        """`[1]` or `[M]`, positive; 1 where the activation has none."""
        if self.raw_temperature is None:
            return tf.ones_like(self.logits[0])
        return tf.nn.softplus(tf.convert_to_tensor(self.raw_temperature))

    def weights_of_experts(self) -> tf.Tensor:
        """a: `[E, 1]` or `[E, M]`."""
        logits = tf.convert_to_tensor(self.logits)
        if self.activation == "sigmoid":
            return 2.0 * tf.sigmoid(logits)
        if self.activation == "smooth_step":
            return 2.0 * smooth_step(logits, gamma=2.0)
        scaled = logits / self.temperature
        return tf.nn.softmax(scaled, axis=0) if self.activation == "softmax" else sparsemax(scaled)

    def call(self, outputs: Sequence[tf.Tensor]) -> tf.Tensor:
        if len(outputs) != self.num_experts:
            raise ValueError(f"a fusion of {self.num_experts} experts needs as many outputs; received {len(outputs)}")
        weights = tf.unstack(self.weights_of_experts())
        return tf.add_n([upcast(output) * weight for output, weight in zip(outputs, weights, strict=True)])

    def report(self) -> GateReport:
        """The weights as a gate report, for TensorBoard: their shares of the sum, the same for all rows.

        The load is 1 for the expert with the largest share; k is the number of nonzero weights.
        """
        weights = self.weights_of_experts()
        mean = tf.reduce_mean(weights, axis=1)
        share = tf.math.divide_no_nan(mean, tf.reduce_sum(mean))
        used = tf.reduce_sum(tf.cast(share > 0.0, tf.int32))
        temperature = tf.reduce_mean(self.temperature)
        # All rows are alike, so one stands for them.
        return gate_report(share[None], share[None], tf.convert_to_tensor(self.logits), used, 0.0, temperature)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "num_experts": self.num_experts,
            "mode": self.mode,
            "activation": self.activation,
        }
