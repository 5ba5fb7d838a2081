"""What a gate did with a batch."""

from typing import NamedTuple

import tensorflow as tf

from ada_ensemble_tf.devices import replicas

TINY = 1e-30
"""Below every probability that matters; keeps the logarithm of 0 finite."""


class GateReport(NamedTuple):
    """What a gate did with a batch; only losses and TensorBoard read it.

    All shares and means cover the batch's rows on all replicas; without rows they are 0.
    """

    load: tf.Tensor
    """`[E]`, share of rows whose largest gate is j (no gradient)."""
    routed: tf.Tensor
    """`[E]`, share of rows whose gate j is not zero."""
    probability: tf.Tensor
    """`[E]`, mean router probability before top-K."""
    entropy: tf.Tensor
    """Mean entropy (nats) of the router probability."""
    z: tf.Tensor
    """Mean squared logsumexp of the logits."""
    logit_min: tf.Tensor
    logit_max: tf.Tensor
    temperature: tf.Tensor
    k: tf.Tensor
    """The most gates that a row may keep."""
    penalty: tf.Tensor | float = 0.0
    """What the gate itself adds to the loss, coefficients included; most add nothing."""
    decorrelation: tf.Tensor | float = 0.0
    """The Cross-Expert De-Correlation loss of the experts behind the gate, where training asks for it."""
    row_probability: tf.Tensor | None = None
    """`[B, E]`, router probability before top-K of each of this replica's rows."""


def gate_report(
    gates: tf.Tensor,
    probability: tf.Tensor,
    logits: tf.Tensor,
    k: tf.Tensor | int,
    z: tf.Tensor | float = 0.0,
    temperature: tf.Tensor | float = 1.0,
    penalty: tf.Tensor | float = 0.0,
) -> GateReport:
    """The report on a batch.

    Args:
        gates: `[B, E]`, non-negative; B may be 0.
        probability: `[B, E]`, of the router before anything is dropped.
        logits: `[any, any]`, whose extremes are reported.
        k: how many gates a row keeps at most.
        z: the z-loss.
        temperature: what the logits were divided by.
        penalty: what the gate adds to the loss.

    Example:
        >>> gates = tf.constant([[0.75, 0.25], [0.0, 1.0]])
        >>> gate_report(gates, gates, tf.zeros([2, 2]), k=2).routed.numpy()
        array([0.5, 1. ], dtype=float32)
    """
    dtype = gates.dtype
    row_probability = probability
    largest = tf.one_hot(tf.argmax(gates, axis=1), gates.shape[1], dtype=dtype)
    count, load, routed, probability, entropy = replicas.global_sums(
        tf.cast(tf.shape(gates)[0], dtype),
        tf.reduce_sum(largest, axis=0),
        tf.reduce_sum(tf.cast(gates > 0.0, dtype), axis=0),
        tf.reduce_sum(probability, axis=0),
        -tf.reduce_sum(probability * tf.math.log(tf.maximum(probability, TINY))),
    )
    rows = tf.maximum(count, 1.0)
    # Without rows the extremes are infinite; they are reported as 0.
    extremes = replicas.global_min(tf.stack([tf.reduce_min(logits), -tf.reduce_max(logits)]))
    logit_min, minus_max = tf.unstack(tf.where(count > 0.0, extremes, tf.zeros_like(extremes)))
    return GateReport(
        load=tf.stop_gradient(load) / rows,
        routed=routed / rows,
        probability=probability / rows,
        entropy=entropy / rows,
        z=tf.convert_to_tensor(z, dtype),
        logit_min=logit_min,
        logit_max=-minus_max,
        temperature=tf.convert_to_tensor(temperature),
        k=tf.convert_to_tensor(k),
        penalty=tf.convert_to_tensor(penalty, dtype),
        decorrelation=tf.zeros([], dtype),
        row_probability=row_probability,
    )
