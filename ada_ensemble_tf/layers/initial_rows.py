"""Some rows of a matrix that Keras' initialisers draw, without drawing the others."""

import keras
import tensorflow as tf

_COUNTERS = {keras.initializers.RandomNormal: 1, keras.initializers.TruncatedNormal: 256}
"""Steps of Philox' counter from four numbers to the next four; truncation may draw again, within its own steps."""
_OPERATIONS = {
    keras.initializers.RandomNormal: tf.raw_ops.StatelessRandomNormalV2,
    keras.initializers.TruncatedNormal: tf.raw_ops.StatelessTruncatedNormalV2,
}
_PHILOX = 1


def initial_rows(
    initializer: keras.initializers.RandomNormal | keras.initializers.TruncatedNormal,
    columns: int,
    first: int,
    count: int,
) -> tf.Tensor:
    """Rows `first` to `first + count` of the float32 matrix that `initializer` makes, bit for bit: `[count, columns]`.

    TensorFlow's stateless generators number their draws, so the part of a matrix can be drawn alone.

    Args:
        initializer: with a whole number as its seed, which Keras gives it by default.
        columns: of the matrix.
        first: the first row wanted.
        count: how many.

    Example:
        >>> normal = keras.initializers.RandomNormal(stddev=0.1, seed=3)
        >>> bool(tf.reduce_all(initial_rows(normal, 5, first=7, count=2) == normal((20, 5))[7:9]))
        True
    """
    kind = type(initializer)
    seed = tf.bitcast(tf.constant([initializer.seed, 0], tf.uint32), tf.int32)
    key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
    fours, left = divmod(first * columns, 4)
    counter += tf.constant([fours * _COUNTERS[kind], 0], tf.uint64)
    shape = [left + count * columns]
    numbers = _OPERATIONS[kind](shape=shape, key=key, counter=counter, alg=_PHILOX, dtype=tf.float32)
    return tf.reshape(numbers[left:], [count, columns]) * initializer.stddev + initializer.mean
