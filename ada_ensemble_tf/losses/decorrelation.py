"""The Cross-Expert De-Correlation loss."""

import itertools
from collections.abc import Sequence

import tensorflow as tf

from ada_ensemble_tf.devices.replicas import global_sum, global_sums

EPSILON = 1e-8
"""Added to variances: keeps gradients bounded where an output is constant, and is negligible next to a variance of
1."""


def decorrelation_loss(outputs: Sequence[tf.Tensor]) -> tf.Tensor:
    """Mean over pairs of experts i < j of mean_ab C_ij[a, b]^2 with C_ij = Z_i^T Z_j / (B - 1).

    Z is an expert's output standardised over the batch, dimension by dimension: minus its mean, divided by its standard
    deviation. C therefore holds the correlations of one expert's dimensions with another's. D-MoE (arXiv 2505.17925).
    Independent outputs give about 1 / (B - 1); constant dimensions give 0, and so do fewer than two rows. Under a
    `tf.distribute` strategy the batch is the global one.

    Args:
        outputs: outputs of two or more experts, each `[B, A_i]`; B may be 0.

    Returns:
        A float32 scalar in [0, 1].

    Raises:
        ValueError: for fewer than two experts.

    Example:
        >>> output = tf.constant([[1.0], [2.0], [4.0]])
        >>> round(float(decorrelation_loss([output, -output])), 4)
        1.0
    """
    standard = [standardize(output) for output in two_or_more(outputs)]
    squares = [mean_square_correlation(*pair) for pair in itertools.combinations(standard, 2)]
    return tf.add_n(squares) / len(squares)


def two_or_more(outputs: Sequence[tf.Tensor]) -> Sequence[tf.Tensor]:
    """Returns `outputs`; raises ValueError if they are of fewer than two experts."""
    if len(outputs) < 2:
        raise ValueError(f"outputs must be those of two or more experts; received {len(outputs)}")
    return outputs


def standardize(output: tf.Tensor) -> tf.Tensor:
    """Z of an expert's output `[B, A]`, float32."""
    output = tf.cast(output, tf.float32)
    rows, total = global_sums(tf.cast(tf.shape(output)[0], tf.float32), tf.reduce_sum(output, axis=0))
    centred = output - total / tf.maximum(rows, 1.0)
    variance = global_sum(tf.reduce_sum(tf.square(centred), axis=0)) / tf.maximum(rows - 1.0, 1.0)
    return centred * tf.math.rsqrt(variance + EPSILON)


def mean_square_correlation(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """mean_ab C[a, b]^2 of two experts' Z, `[B, A_1]` and `[B, A_2]`."""
    rows, products = global_sums(tf.cast(tf.shape(first)[0], tf.float32), tf.matmul(first, second, transpose_a=True))
    correlation = products / tf.maximum(rows - 1.0, 1.0)
    return tf.reduce_mean(tf.square(correlation))
