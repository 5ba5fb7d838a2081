"""Row-sparse gradients."""

import tensorflow as tf


def sum_duplicates(gradient: tf.IndexedSlices) -> tf.IndexedSlices:
    """The same gradient with each row once: the parts of a row that came up several times in a batch are summed.

    What is not linear in the gradient, such as the squares that adaptive optimisers keep, is wrong without this.
    """
    rows, places = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, places, tf.shape(rows)[0])
    return tf.IndexedSlices(values, rows, gradient.dense_shape)
