"""The Cross-Expert De-Correlation loss over the rows that are routed to both experts of a pair."""

import itertools
from collections.abc import Sequence

import tensorflow as tf

from ada_ensemble_tf.devices.replicas import global_sum
from ada_ensemble_tf.losses.decorrelation import mean_square_correlation, standardize, two_or_more
from ada_ensemble_tf.moe.dispatch import take_rows


def routed_decorrelation_loss(outputs: Sequence[tf.Tensor], gates: tf.Tensor, dense: bool = False) -> tf.Tensor:
    """`decorrelation_loss` under sparse dispatch: a pair's correlations cover the B_ij rows routed to both.

    Pairs are weighted by B_ij - 1, since correlations over few rows are mostly chance (two rows always correlate
    fully). If all experts see all rows, the loss is the mean over pairs. If no pair shares two rows, it is 0.

    Args:
        outputs: outputs of two or more experts, `[B_i, A_i]`, for their rows of nonzero gate in order, as
            `SparseDispatcher` dispatches them.
        gates: `[B, E]`, non-negative.
        dense: whether outputs are `[B, A_i]`, for all rows, as with `DenseDispatcher`.

    Returns:
        A float32 scalar in [0, 1].

    Raises:
        ValueError: for fewer than two experts.

    Example:
        >>> output = tf.constant([[1.0], [2.0], [4.0]])
        >>> round(float(routed_decorrelation_loss([output, -output], tf.ones([3, 2]))), 4)
        1.0
    """
    two_or_more(outputs)
    routed = [column > 0.0 for column in tf.unstack(gates, num=len(outputs), axis=1)]
    # The position of each row of the batch among the rows that an expert received.
    given = [tf.ones_like(mask) for mask in routed] if dense else routed
    places = [tf.cumsum(tf.cast(mask, tf.int32)) - 1 for mask in given]
    squares, weights = [], []
    for i, j in itertools.combinations(range(len(outputs)), 2):
        both = tf.where(routed[i] & routed[j])[:, 0]
        shared = [standardize(take_rows(outputs[e], tf.gather(places[e], both))) for e in (i, j)]
        squares.append(mean_square_correlation(*shared))
        weights.append(tf.cast(tf.shape(both)[0], tf.float32))
    weights = tf.maximum(global_sum(tf.stack(weights)) - 1.0, 0.0)
    return tf.reduce_sum(weights * tf.stack(squares)) / tf.maximum(tf.reduce_sum(weights), 1.0)
