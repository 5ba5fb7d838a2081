"""What a gate returns, and what every gate is."""

from typing import NamedTuple

import keras
import tensorflow as tf


class GateReport(NamedTuple):
    """What a gate did with a batch: read by the auxiliary losses and by TensorBoard, by nothing else.

    All shares and means are over the batch's rows; without rows they are 0.
    """

    load: tf.Tensor
    """`[E]`, share of rows whose largest gate is j (no gradient)."""
    routed: tf.Tensor
    """`[E]`, share of rows whose gate j is not zero."""
    probability: tf.Tensor
    """`[E]`, mean router probability before top-K."""
    entropy: tf.Tensor
    """Mean entropy (nats) of the router probability."""
    z: tf.Tensor
    """Mean squared logsumexp of the logits."""
    logit_min: tf.Tensor
    logit_max: tf.Tensor
    temperature: tf.Tensor
    k: tf.Tensor
    """How many gates were kept per row."""


class Gate(keras.layers.Layer):
    """A layer that maps x0 `[B, M]` to (gates `[B, E]`, GateReport).

    The gates of a row are non-negative, those not kept are exactly 0, and the kept ones sum to 1.

    Args:
        num_choices: E, how many experts (or depths) there are to choose from.
    """

    def __init__(self, num_choices: int, **kwargs):
        super().__init__(**kwargs)
        if num_choices < 1:
            raise ValueError(f"a gate needs at least one choice; received num_choices={num_choices}")
        self.num_choices = num_choices

    def flops(self) -> int:
        """Floating-point operations per row, two a multiply-add; known once built."""
        raise NotImplementedError(f"{type(self).__name__} must say its FLOPs")

    def get_config(self):
        return super().get_config() | {"num_choices": self.num_choices}
