"""Row-sparse gradients."""

import tensorflow as tf


def sum_duplicates(gradient: tf.IndexedSlices) -> tf.IndexedSlices:
    """The same gradient with each row once: the parts of a repeated row are summed.

    Without this, whatever is not linear in the gradient would be wrong, such as norms and the squares that adaptive
    optimisers keep. Rows come in the order of their first parts.

    Example:
        >>> gradient = tf.IndexedSlices(tf.constant([[1.0], [2.0], [3.0]]), indices=tf.constant([4, 0, 4]))
        >>> once = sum_duplicates(gradient)
        >>> once.indices.numpy(), once.values.numpy()
        (array([4, 0], dtype=int32), array([[4.],
               [2.]], dtype=float32))
    """
    rows, places = tf.unique(gradient.indices)
    values = sum_parts(tf.convert_to_tensor(gradient.values), places, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)


def sum_parts(values: tf.Tensor, segments: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Sums of the rows of `values` `[N, ..]` by segment, `[count, ..]`; segments come in any order."""
    width = values.shape[1:].num_elements()
    if width is None or tf.config.list_logical_devices("GPU"):
        return tf.math.unsorted_segment_sum(values, segments, count)
    # The product with a matrix of zeros and ones is, on CPUs, several times as fast as unsorted_segment_sum, or as
    # tf.sort with segment_sum. GPUs refuse it if operations must be deterministic.
    parts = tf.size(segments, tf.int64)
    sums = tf.raw_ops.SparseTensorDenseMatMul(
        a_indices=tf.stack([tf.cast(segments, tf.int64), tf.range(parts)], axis=1),
        a_values=tf.ones([parts], values.dtype),
        a_shape=tf.stack([tf.cast(count, tf.int64), parts]),
        b=tf.reshape(values, [parts, width]),
    )
    return tf.reshape(sums, tf.concat([[count], values.shape[1:].as_list()], axis=0))
