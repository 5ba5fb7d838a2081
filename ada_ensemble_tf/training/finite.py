"""Naming the first tensor that is not finite."""

import tensorflow as tf


class FiniteCheck:
    """Finds the first non-finite tensor among named ones, inside a graph and at the cost of one pass over them."""

    def __init__(self):
        self.names: list[str] = []

    def first_bad(self, stage: str, tensors: dict[str, tf.Tensor | tf.IndexedSlices | None]) -> tf.Tensor:
        """int32 scalar: the place in `names` of the first tensor that holds an infinity or NaN, -1 if none does.

        `names` grows by "`stage`: name" for each name it does not hold yet. Tensors that are None are passed over.
        """
        places, finite = [], []
        for name, tensor in tensors.items():
            if tensor is None:
                continue
            full_name = f"{stage}: {name}"
            if full_name not in self.names:
                self.names.append(full_name)
            places.append(self.names.index(full_name))
            values = tensor.values if isinstance(tensor, tf.IndexedSlices) else tensor
            # 0 * x is NaN just for infinities and NaN, and unlike x its sum cannot overflow.
            finite.append(tf.reduce_sum(0.0 * values) == 0.0)
        if not finite:
            return tf.constant(-1)
        bad = tf.logical_not(tf.stack(finite))
        return tf.where(tf.reduce_any(bad), tf.gather(tf.constant(places), tf.argmax(tf.cast(bad, tf.int32))), -1)
