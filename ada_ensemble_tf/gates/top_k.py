"""Keeping the K largest of a row's router logits."""

import tensorflow as tf


def top_k_mask(logits: tf.Tensor, k: tf.Tensor) -> tf.Tensor:
    """`[B, E]` booleans: which of a row's logits are among its k largest.

    Exactly k a row also where logits are equal (the lower index wins), for a k that may be a tensor. E is small, so
    comparing all pairs costs less than a sort.
    """
    this, other = logits[:, :, None], logits[:, None, :]
    index = tf.range(tf.shape(logits)[1])
    earlier = index[None, None, :] < index[None, :, None]
    ahead = (other > this) | ((other == this) & earlier)
    return tf.reduce_sum(tf.cast(ahead, tf.int32), axis=2) < k


def masked_softmax(logits: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Softmax over the entries of each row that `mask` keeps, 0 elsewhere (arXiv 2301.08353, equations 10 and 11).

    Written without infinities, so that no gradient is NaN.
    """
    peak = tf.stop_gradient(tf.reduce_max(logits, axis=1, keepdims=True))
    weights = tf.where(mask, tf.exp(logits - peak), tf.zeros_like(logits))
    return weights / tf.reduce_sum(weights, axis=1, keepdims=True)


def top_k_gates(logits: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(gates, probability), both `[B, E]`: the gates after top-K, and the router probability before it.

    For k > 1 the gates are the softmax over the kept logits. For k = 1 that softmax is the constant 1 and would teach
    the gate nothing, so the gate is straight-through: forward 1, backward the gradient of the probability.
    """
    probability = tf.nn.softmax(logits)
    mask = top_k_mask(logits, k)
    straight_through = tf.where(mask, 1.0 + (probability - tf.stop_gradient(probability)), tf.zeros_like(logits))
    return tf.where(k == 1, straight_through, masked_softmax(logits, mask)), probability
