"""The noisy top-K gate of the first sparsely gated mixtures."""

import keras
import tensorflow as tf

from ada_ensemble_tf.gates.base import Gate
from ada_ensemble_tf.layers.fields import Shape


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class NoisyTopKGate(Gate):
    """softmax(KeepTopK(H)), H = (h W_g + noise * N(0, 1) * softplus(h W_noise)) / temperature; no noise in inference.

    Shazeer et al. (arXiv 1701.06538), section 2.1, equations 3 to 5; with noise and temperature 1 it has the paper's
    form. The paper's x is h = FFN(x0) here, as in the other gates. W_noise starts at 0, as in the paper.

    Args:
        num_choices, reduction, hidden_size, initial_temperature, stop_gradient, seed, dropout, l2, noise_schedule,
            temperature_schedule: see `Gate`.
        noise: factor of the noise, on top of the learned one.

    Example:
        >>> gates, report = NoisyTopKGate(num_choices=4)(tf.ones([2, 12]), k=2)
        >>> gates.shape
        TensorShape([2, 4])
        >>> tf.reduce_sum(gates, axis=1).numpy().round(4)
        array([1., 1.], dtype=float32)
    """

    def build(self, x0_shape: Shape) -> None:
        super().build(x0_shape)
        shape = (self.hidden_size, self.num_choices)
        self.score = self.add_weight(name="score", shape=shape, initializer="glorot_uniform")
        # Without noise this variable would have no gradient.
        self.deviation = None
        if self.ever("noise"):
            self.deviation = self.add_weight(name="deviation", shape=shape, initializer="zeros")

    def logits(self, x0: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`[B, E]`, in training with noise of learned strength."""
        hidden = self.hidden(x0, training)
        scores = tf.matmul(hidden, tf.convert_to_tensor(self.score))
        if training and self.deviation is not None:
            normal = keras.random.normal(tf.shape(scores), dtype=scores.dtype, seed=self.noise_seed)
            scores += (
                self.scheduled("noise")
                * normal
                * tf.nn.softplus(tf.matmul(hidden, tf.convert_to_tensor(self.deviation)))
            )
        return scores / self.temperature

    def flops(self) -> int:
        """Per row: the FFN and the scores; noise is for training only."""
        return super().flops() + 2 * self.num_choices * self.hidden_size
