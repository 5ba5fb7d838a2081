"""AdaEnsemble's gate: noisy, cosine, with a learnable temperature and an annealed top-K."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import Count, Fraction
from ada_ensemble_tf.gates.cosine import CosineGate


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class NoisyCosineGate(CosineGate):
    """Cosine similarity between a projection of x0 and one learnable embedding per choice, divided by a temperature.

    AdaEnsemble (arXiv 2301.08353), section 3.3.1, equations 7 to 11: h = FFN(x0 * U(1 - noise, 1 + noise)) in training
    and FFN(x0) otherwise, s_j = cos(h, e_j), g = s / temperature, softmax over the K largest.

    Args:
        num_choices, reduction, hidden_size, initial_temperature, stop_gradient, seed, dropout, l2, noise_schedule,
            temperature_schedule: see `Gate`.
        noise: epsilon of the multiplicative jitter, in [0, 1].

    Example:
        >>> gates, report = NoisyCosineGate(num_choices=4)(tf.ones([2, 12]), k=2)
        >>> gates.shape
        TensorShape([2, 4])
        >>> tf.reduce_sum(gates, axis=1).numpy().round(4)
        array([1., 1.], dtype=float32)
    """

    def __init__(self, num_choices: Count, *, noise: Fraction = 0.5, **shared: Any):
        super().__init__(num_choices, noise=noise, **shared)

    def logits(self, x0: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`[B, E]`; x0 is jittered in training."""
        return self.cosine_logits(self.hidden(x0, training, jitter=True))
