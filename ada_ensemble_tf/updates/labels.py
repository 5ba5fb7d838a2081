"""Labels and weights of rows as Keras' `fit` and `evaluate` bring them."""

from typing import Any

import tensorflow as tf


def click_labels(labels: Any) -> tf.Tensor:
    """Labels as losses take them, float32 `[B]`; they come as numbers of any type, `[B]` or `[B, 1]`.

    Raises:
        ValueError: if the shape is another.
        tf.errors.InvalidArgumentError: at run time, if a label is not between 0 and 1, or if the shape is only known
            then.

    Example:
        >>> click_labels([[1], [0]]).numpy()
        array([1., 0.], dtype=float32)
    """
    labels = tf.convert_to_tensor(labels)
    shape, needed = labels.shape, "labels must be of shape [B] or [B, 1]; received"
    if shape.rank is not None and shape.rank != 1 and not (shape.rank == 2 and shape[1] == 1):
        raise ValueError(f"{needed} {shape}")
    flat = tf.cast(tf.reshape(labels, [-1]), tf.float32)
    # NaN compares as false.
    right = tf.reduce_all((flat >= 0.0) & (flat <= 1.0))
    message = "labels must be 0 or 1, or between them; received the least and the largest"
    checks = [tf.debugging.Assert(right, [message, tf.reduce_min(flat), tf.reduce_max(flat)])]
    if shape.rank is None:
        checks.append(tf.debugging.Assert(tf.size(labels) == tf.shape(labels)[0], [needed, tf.shape(labels)]))
    with tf.control_dependencies(checks):
        return tf.identity(flat)


def row_weights(weights: Any) -> tf.Tensor:
    """Weights of rows as losses take them, float32 `[B]`; they come as numbers of any type, `[B]` or `[B, 1]`.

    Raises:
        tf.errors.InvalidArgumentError: at run time, if a weight is below 0 or not a finite number.

    Example:
        >>> row_weights([[2], [0]]).numpy()
        array([2., 0.], dtype=float32)
    """
    flat = tf.cast(tf.reshape(tf.convert_to_tensor(weights), [-1]), tf.float32)
    right = tf.reduce_all((flat >= 0.0) & tf.math.is_finite(flat))
    message = "sample weights must be finite numbers of at least 0; received the least and the largest"
    with tf.control_dependencies([tf.debugging.Assert(right, [message, tf.reduce_min(flat), tf.reduce_max(flat)])]):
        return tf.identity(flat)
