"""Finds the name of the first tensor that is not finite."""

from collections.abc import Mapping

import tensorflow as tf

NamedTensors = Mapping[str, tf.Tensor | tf.IndexedSlices | None]


def is_finite(tensor: tf.Tensor | tf.IndexedSlices) -> tf.Tensor:
    """Whether a tensor, or every row in an IndexedSlices, is finite: a scalar boolean."""
    values = tensor.values if isinstance(tensor, tf.IndexedSlices) else tensor
    # 0 * x is NaN only for infinities and NaN, and unlike the sum of x, its sum cannot overflow.
    return tf.reduce_sum(0.0 * values) == 0.0


class FiniteCheck:
    """Finds the first non-finite tensor among named ones, inside a graph."""

    def __init__(self):
        self.names: list[str] = []

    def first_bad_if(self, stage: str, tensors: NamedTensors, outcomes: NamedTensors) -> tf.Tensor:
        """`first_bad` of `tensors` and then `outcomes`; searches only if an outcome is not finite.

        The outcomes, losses and gradients, are computed from `tensors`. Checking all tensors at each step would cost
        more than checking the outcomes, and a bad value that reaches no outcome does no harm.
        """
        finite = [is_finite(tensor) for tensor in outcomes.values() if tensor is not None]
        everything = {**tensors, **outcomes}
        return tf.cond(
            tf.reduce_all(tf.stack(finite)), lambda: tf.constant(-1), lambda: self.first_bad(stage, everything)
        )

    def first_bad(self, stage: str, tensors: NamedTensors) -> tf.Tensor:
        """The index in `names` of the first tensor that holds an infinity or NaN, -1 if none does: an int32 scalar.

        Adds "`stage`: name" to `names` for each new name. Skips tensors that are None.
        """
        places, finite = [], []
        for name, tensor in tensors.items():
            if tensor is None:
                continue
            full_name = f"{stage}: {name}"
            if full_name not in self.names:
                self.names.append(full_name)
            places.append(self.names.index(full_name))
            finite.append(is_finite(tensor))
        if not finite:
            return tf.constant(-1)
        bad = tf.logical_not(tf.stack(finite))
        return tf.where(tf.reduce_any(bad), tf.gather(tf.constant(places), tf.argmax(tf.cast(bad, tf.int32))), -1)
