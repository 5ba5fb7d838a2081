"""Stochastic rounding of float32 to the 16-bit types in which tables and optimiser slots can be stored."""

from typing import NamedTuple

import tensorflow as tf


class _Format(NamedTuple):
    fraction_bits: int
    smallest: float
    """The power of two below which numbers are spaced evenly."""


# bfloat16 goes further down, but CPUs take the spacings there, below 2^-126, for 0.
_FORMATS = {tf.bfloat16: _Format(7, 2.0**-119), tf.float16: _Format(10, 2.0**-14)}
LOW = tuple(dtype.name for dtype in _FORMATS)
"""The types that are rounded to."""
_EXPONENT = 0x7F800000


def arithmetic_type(dtype: tf.DType | str) -> tf.DType:
    """The type in which an optimiser computes with numbers that are stored in `dtype`."""
    dtype = tf.as_dtype(dtype)
    return tf.float32 if dtype in _FORMATS else dtype


def stochastically_rounded(x: tf.Tensor, dtype: tf.DType | str, seed: tf.Tensor) -> tf.Tensor:
    """`x` in a 16-bit type: the neighbour below or above it, by chance, so that the expectation is x.

    A number between neighbours a < x < b becomes b with probability (x - a) / (b - a). To the nearest, updates below
    half a spacing would be lost for good. Gupta et al., "Deep learning with limited numerical precision", ICML 2015
    (arXiv 1502.02551), section 3. A number that the type has stays as it is. The same seed gives the same bits, on
    every kind of device.

    Args:
        x: float32, any shape.
        dtype: bfloat16 or float16. bfloat16 numbers below 2^-119 are rounded to multiples of 2^-126.
        seed: `[2]` int64.

    Raises:
        ValueError: if `dtype` is another type.

    Example:
        >>> stochastically_rounded(tf.constant([1.5]), "bfloat16", tf.constant([0, 1], tf.int64)).numpy()
        array([1.5], dtype=bfloat16)
    """
    dtype = tf.as_dtype(dtype)
    if dtype not in _FORMATS:
        raise ValueError(f"numbers are rounded to {' or '.join(LOW)}; received {dtype.name}")
    fraction_bits, smallest = _FORMATS[dtype]
    power = tf.bitcast(tf.bitwise.bitwise_and(tf.bitcast(x, tf.int32), _EXPONENT), tf.float32)
    spacing = tf.maximum(power, smallest) * 2.0**-fraction_bits
    # Exact, because the spacing is a power of two.
    multiple = tf.abs(x) / spacing
    below = tf.floor(multiple)
    # The draws are multiples of 2^-23 in [0, 1) and the remainder is a multiple of at most as many bits.
    draws = tf.random.stateless_uniform(tf.shape(x), seed, alg="philox")
    rounded = tf.sign(x) * (below + tf.cast(draws < multiple - below, tf.float32)) * spacing
    # Infinity and NaN have no spacing.
    return tf.cast(tf.where(tf.math.is_finite(x), rounded, x), dtype)
