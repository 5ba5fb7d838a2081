"""Top-K with Gumbel noise: K choices drawn without replacement."""

import keras
import tensorflow as tf

from ada_ensemble_tf.gates.cosine import CosineGate
from ada_ensemble_tf.gates.top_k import top_k_mask


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class GumbelTopKGate(CosineGate):
    """Keeps the K largest of logits + noise * Gumbel(0, 1) in training, of the logits in inference.

    With noise 1 this draws K choices without replacement, with the router's probabilities (arXiv 1903.06059). The noise
    only decides what is kept: the gates are the softmax of the logits without noise over the kept choices, as in
    AdaEnsemble's original release. The reported probability has no noise either.

    Args:
        num_choices, reduction, hidden_size, initial_temperature, stop_gradient, seed, dropout, l2, noise_schedule,
            temperature_schedule: see `Gate`; the logits are those of `CosineGate`.
        noise: factor of the Gumbel noise.

    Example:
        >>> gates, report = GumbelTopKGate(num_choices=4)(tf.ones([2, 12]), k=2)
        >>> gates.shape
        TensorShape([2, 4])
        >>> tf.reduce_sum(gates, axis=1).numpy().round(4)
        array([1., 1.], dtype=float32)
    """

    def perturbed(self, logits: tf.Tensor, training: bool) -> tf.Tensor:
        """The logits with noise added in training."""
        if not training or not self.ever("noise"):
            return logits
        uniform = keras.random.uniform(tf.shape(logits), dtype=logits.dtype, seed=self.noise_seed)
        # Away from 0 and 1, where the logarithms are infinite.
        uniform = tf.clip_by_value(uniform, 1e-7, 1.0 - 1e-7)
        return logits - self.scheduled("noise") * tf.math.log(-tf.math.log(uniform))

    def kept(self, logits: tf.Tensor, k: tf.Tensor, training: bool) -> tf.Tensor:
        """`[B, E]` booleans: the k largest of the perturbed logits."""
        return top_k_mask(self.perturbed(logits, training), k)
