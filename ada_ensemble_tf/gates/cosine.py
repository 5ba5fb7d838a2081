"""The cosine router that several gates share."""

import tensorflow as tf

from ada_ensemble_tf.gates.base import Gate
from ada_ensemble_tf.layers.fields import Shape

SMALLEST_SQUARE = 1e-4
"""Vectors whose squared norm is smaller are not scaled up to length 1. Where all of a row's ReLUs are off, h is 0, and
scaling it up would multiply its gradient by a million."""


class CosineGate(Gate):
    """A gate whose logits are cos(h, e_j) / temperature, with one learnable embedding e_j per choice.

    AdaEnsemble (arXiv 2301.08353), section 3.3.1, equations 7 to 9. The logits lie in [-1 / temperature,
    1 / temperature]; `hidden_size` is also the size of the embeddings.
    """

    def build(self, x0_shape: Shape) -> None:
        super().build(x0_shape)
        self.choices = self.add_weight(
            name="choices", shape=(self.num_choices, self.hidden_size), initializer="glorot_normal"
        )

    def cosine_logits(self, hidden: tf.Tensor) -> tf.Tensor:
        """`[B, E]`, of h `[B, d]`."""
        cosine = tf.matmul(
            tf.math.l2_normalize(hidden, axis=1, epsilon=SMALLEST_SQUARE),
            tf.math.l2_normalize(tf.convert_to_tensor(self.choices), axis=1, epsilon=SMALLEST_SQUARE),
            transpose_b=True,
        )
        return cosine / self.temperature

    def logits(self, x0: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`[B, E]`, without noise."""
        return self.cosine_logits(self.hidden(x0, training))

    def flops(self) -> int:
        """Per row: the FFN and one cosine a choice."""
        return super().flops() + 2 * self.num_choices * self.hidden_size
