"""A gate that keeps as many choices as are probable enough."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import Count, Share
from ada_ensemble_tf.gates.gumbel_top_k import GumbelTopKGate
from ada_ensemble_tf.gates.top_k import top_k_mask


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class GumbelThresholdGate(GumbelTopKGate):
    """Keeps the choices whose probability exceeds a threshold, so that rows keep as many as they need.

    The threshold applies to softmax(logits + noise * Gumbel(0, 1)) in training and to softmax(logits) in inference. The
    gates are the softmax of the logits without noise over the kept choices. The gate comes from AdaEnsemble's original
    release, whose result is undefined if no probability exceeds the threshold; here the largest is always kept.

    At most `k` are kept, so the annealed K still takes effect and a depth gate ends with one exit per row. With k = E,
    the threshold alone decides.

    Args:
        num_choices, reduction, hidden_size, initial_temperature, stop_gradient, seed, dropout, l2, noise_schedule,
            temperature_schedule: see `Gate`; the logits are those of `CosineGate`.
        noise: factor of the Gumbel noise.
        threshold: in [0, 1).
        threshold_schedule: a schedule of `threshold` by training step, like the other schedules of `Gate`.

    Example:
        >>> gates, report = GumbelThresholdGate(num_choices=4, threshold=0.1)(tf.ones([2, 12]), k=2)
        >>> gates.shape
        TensorShape([2, 4])
        >>> tf.reduce_sum(gates, axis=1).numpy().round(4)
        array([1., 1.], dtype=float32)
    """

    in_inference = GumbelTopKGate.in_inference | {"threshold"}

    def __init__(
        self,
        num_choices: Count,
        *,
        threshold: Share = 0.05,
        threshold_schedule: Mapping[str, Any] | None = None,
        **shared: Any,
    ):
        super().__init__(num_choices, **shared)
        self.threshold = threshold
        self._schedule("threshold_schedule", threshold_schedule, "threshold")

    def kept(self, logits: tf.Tensor, k: tf.Tensor, training: bool) -> tf.Tensor:
        """`[B, E]` booleans: probable enough and among the k largest; the largest in any case."""
        perturbed = self.perturbed(logits, training)
        probable = tf.nn.softmax(perturbed) > self.scheduled("threshold")
        return (probable & top_k_mask(perturbed, k)) | top_k_mask(perturbed, 1)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"threshold": self.threshold}
