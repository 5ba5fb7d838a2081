"""Sparsemax."""

import tensorflow as tf


def sparsemax(z: tf.Tensor) -> tf.Tensor:
    """The point of the probability simplex that is closest to z, along the first axis.

    Sparsemax (arXiv 1602.02068), algorithm 1: max(z - tau, 0), where tau makes it sum to 1. It has exact zeros.
    Differentiating tau = (sum over the support of z - 1) / its size gives the Jacobian of the paper's equation 9.

    Args:
        z: `[E, ..]`.

    Example:
        >>> sparsemax(tf.constant([0.5, 0.25, -1.0])).numpy()
        array([0.625, 0.375, 0.   ], dtype=float32)
    """
    # Sparsemax does not change under shifts. With a maximum of 0, rounding never empties the support.
    z -= tf.stop_gradient(tf.reduce_max(z, axis=0, keepdims=True))
    ordered = tf.sort(tf.stop_gradient(z), axis=0, direction="DESCENDING")
    rank = tf.reshape(tf.range(1, z.shape[0] + 1), [-1] + [1] * (z.shape.rank - 1))
    inside = 1.0 + tf.cast(rank, z.dtype) * ordered > tf.cumsum(ordered, axis=0)
    smallest = tf.reduce_min(tf.where(inside, ordered, tf.zeros_like(ordered)), axis=0, keepdims=True)
    support = tf.cast(z >= smallest, z.dtype)
    size = tf.reduce_sum(support, axis=0, keepdims=True)
    threshold = (tf.reduce_sum(support * z, axis=0, keepdims=True) - 1.0) / size
    return support * tf.maximum(z - threshold, 0.0)
