"""The dense softmax gate of mixtures whose gate is trained with their weights."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.gates import GateReport, gate_report
from ada_ensemble_tf.gates.top_k import top_k_gates
from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.losses import router_z_loss


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class SoftmaxGate(keras.layers.Layer):
    """softmax(z) with z_j = w_j . x_j + b_j: every expert has a share of every row, or only the K largest have.

    The gate of mixtures of experts for clicks (D-MoE, arXiv 2505.17925). It is not a `Gate`: its variables
    are weights, trained with the others on the same rows.

    Args:
        num_choices: E, the number of experts.
        k: K, the experts kept per row, see `gates.top_k.top_k_gates`; 0 keeps all.

    Call arguments:
        x: E tensors `[B, M]`, where the logit of expert j reads x_j; or one tensor that all logits read. B may be 0.

    Returns:
        (gates `[B, E]` float32, whose rows sum to 1; GateReport).

    Raises:
        ValueError: for fewer than one choice, a k that is not from 0 to E, or a different number of tensors.

    Example:
        >>> gates, report = SoftmaxGate(num_choices=3)(tf.ones([2, 4]))
        >>> gates.shape
        TensorShape([2, 3])
    """

    def __init__(self, num_choices: int, k: int = 0, **kwargs: Any):
        # float32 even under mixed precision: exponentials of bfloat16 logits would be far off.
        super().__init__(autocast=False, **kwargs)
        if num_choices < 1:
            raise ValueError(f"a gate needs at least one choice; received num_choices={num_choices}")
        if not 0 <= k <= num_choices:
            raise ValueError(f"k must lie between 1 and num_choices={num_choices}, or be 0 for all; received {k}")
        self.num_choices = num_choices
        self.k = k

    def build(self, x_shape: Shape | Sequence[Shape]) -> None:
        shape = x_shape[0] if isinstance(x_shape[0], Sequence) else x_shape
        self.kernel = self.add_weight(name="kernel", shape=(shape[-1], self.num_choices), autocast=False)
        self.bias = self.add_weight(name="bias", shape=(self.num_choices,), initializer="zeros", autocast=False)

    def logits(self, x: tf.Tensor | Sequence[tf.Tensor]) -> tf.Tensor:
        """`[B, E]` float32."""
        kernel = tf.convert_to_tensor(self.kernel)
        if tf.is_tensor(x):
            return tf.matmul(tf.cast(x, tf.float32), kernel) + self.bias
        if len(x) != self.num_choices:
            raise ValueError(f"x must be one tensor, or one for each of {self.num_choices} choices; received {len(x)}")
        columns = zip(x, tf.unstack(kernel, axis=1), strict=True)
        return tf.stack([tf.linalg.matvec(tf.cast(x_j, tf.float32), w_j) for x_j, w_j in columns], axis=1) + self.bias

    def call(self, x: tf.Tensor | Sequence[tf.Tensor]) -> tuple[tf.Tensor, GateReport]:
        logits = self.logits(x)
        k = self.k or self.num_choices
        if k == self.num_choices:
            gates = probability = tf.nn.softmax(logits)
        else:
            gates, probability = top_k_gates(logits, tf.constant(k))
        return gates, gate_report(gates, probability, logits, k, router_z_loss(logits))

    def flops(self) -> int:
        """Per row: the products with the kernel."""
        return 2 * self.kernel.shape[0] * self.num_choices

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"num_choices": self.num_choices, "k": self.k}
