"""Loss terms, each a small function of tensors.

Under a `tf.distribute` strategy, a mean over rows covers the replica's own rows, and training minimises the mean over
replicas. Whatever is not such a mean covers the global batch, see `ada_ensemble_tf.devices.replicas`.
"""

import tensorflow as tf

from ada_ensemble_tf.devices import replicas
from ada_ensemble_tf.devices.replicas import global_sums


def row_mean(values: tf.Tensor, weights: tf.Tensor | None = None) -> tf.Tensor:
    """The mean of values `[B]`, weighted by weights `[B]` of at least 0 if there are any: sum(w v) / sum(w).

    A row of weight 2 counts as two rows. Rows whose weights are all 0 have the mean 0. The sum of weights covers the
    global batch, so that the mean over replicas is the global batch's weighted mean.

    Example:
        >>> float(row_mean(tf.constant([1.0, 4.0]), tf.constant([2.0, 1.0])))
        2.0
    """
    if weights is None:
        return tf.reduce_mean(values)
    total = replicas.global_sum(tf.reduce_sum(weights)) / replicas.count()
    return tf.math.divide_no_nan(tf.reduce_sum(weights * values), total)


def log_loss(labels: tf.Tensor, logits: tf.Tensor, weights: tf.Tensor | None = None) -> tf.Tensor:
    """Mean LogLoss (binary cross-entropy, nats) of logits `[B]` against labels `[B]` in {0, 1}, see `row_mean`.

    Example:
        >>> round(float(log_loss(tf.constant([1.0, 0.0]), tf.constant([0.0, 0.0]))), 4)
        0.6931
    """
    return row_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits), weights)


def expected_log_loss(
    labels: tf.Tensor, exit_logits: tf.Tensor, gates: tf.Tensor, weights: tf.Tensor | None = None
) -> tf.Tensor:
    """Mean over rows of sum_l gate_l * LogLoss(exit l): the expected loss under the depth gates.

    Args:
        labels: `[B]`.
        exit_logits: `[B, L]`, any finite value where the gate is zero.
        gates: `[B, L]`, rows sum to 1.
        weights: `[B]`, see `row_mean`; None counts every row once.

    Example:
        >>> exit_logits, gates = tf.constant([[0.0, 5.0]]), tf.constant([[1.0, 0.0]])
        >>> round(float(expected_log_loss(tf.constant([1.0]), exit_logits, gates)), 4)
        0.6931
    """
    losses = tf.nn.sigmoid_cross_entropy_with_logits(
        labels=tf.broadcast_to(labels[:, None], tf.shape(exit_logits)), logits=exit_logits
    )
    return row_mean(tf.reduce_sum(gates * losses, axis=1), weights)


def load_distribution_loss(load: tf.Tensor, probability: tf.Tensor, prior: tf.Tensor) -> tf.Tensor:
    """sum_j f_j P_j / w_j (AdaEnsemble, arXiv 2301.08353, equation 16, without its coefficient).

    With a uniform prior it is the balance loss E * sum_j f_j P_j of equation 13.

    Args:
        load: `[E]`, f: share of rows whose largest gate is j, or that keep j; no gradient flows through it.
        probability: `[E]`, P: mean router probability before top-K.
        prior: `[E]`, w: expected shares, which sum to 1.

    Example:
        >>> uniform = tf.constant([0.5, 0.5])
        >>> float(load_distribution_loss(uniform, uniform, prior=uniform))
        1.0
    """
    return tf.reduce_sum(tf.stop_gradient(load) * probability / prior)


def router_z_loss(logits: tf.Tensor) -> tf.Tensor:
    """Mean squared logsumexp of unmasked router logits `[B, E]`, 0 for no rows (ST-MoE, arXiv 2202.08906, eq. 5).

    Example:
        >>> round(float(router_z_loss(tf.zeros([1, 2]))), 4)
        0.4805
    """
    squares = tf.reduce_sum(tf.square(tf.reduce_logsumexp(logits, axis=1)))
    rows, total = global_sums(tf.cast(tf.shape(logits)[0], logits.dtype), squares)
    return total / tf.maximum(rows, 1.0)
