"""Which of a row's choices are kept, by their router logits."""

import tensorflow as tf


def top_k_mask(logits: tf.Tensor, k: tf.Tensor) -> tf.Tensor:
    """`[B, E]` booleans: which of a row's logits are among its k largest.

    Exactly k per row, even if logits are equal (the lower index wins); k may be a tensor. E is small, so comparing all
    pairs costs less than sorting.

    Example:
        >>> top_k_mask(tf.constant([[0.1, 0.7, 0.2]]), 2).numpy()
        array([[False,  True,  True]])
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
    peak = tf.stop_gradient(tf.reduce_max(tf.where(mask, logits, logits.dtype.min), axis=1, keepdims=True))
    weights = tf.where(mask, tf.exp(tf.minimum(logits - peak, 0.0)), tf.zeros_like(logits))
    return weights / tf.reduce_sum(weights, axis=1, keepdims=True)


def straight_through(gates: tf.Tensor, probability: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """The gates `[B, E]`, straight-through in rows that keep one: forward 1, backward the probability's gradient.

    A single normalised gate is the constant 1, which would teach the router nothing.

    Args:
        gates: `[B, E]`, normalised over what is kept.
        probability: `[B, E]`, of the router before anything is dropped.
        mask: `[B, E]` booleans, at least one a row: what is kept.
    """
    one = tf.where(mask, 1.0 + (probability - tf.stop_gradient(probability)), tf.zeros_like(probability))
    alone = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1, keepdims=True) == 1
    return tf.where(alone, one, gates)


def masked_gates(logits: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(gates, probability), both `[B, E]`: softmax over what `mask` keeps, and over all.

    A row that keeps one has a straight-through gate.
    """
    probability = tf.nn.softmax(logits)
    return straight_through(masked_softmax(logits, mask), probability, mask), probability


def top_k_gates(logits: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(gates, probability), both `[B, E]`: the gates after top-K, and the router probability before it.

    For k > 1 the gates are the softmax over the kept logits, for k = 1 they are straight-through.

    Example:
        >>> gates, probability = top_k_gates(tf.math.log([[0.25, 0.125, 0.625]]), 2)
        >>> gates.numpy().round(3)
        array([[0.286, 0.   , 0.714]], dtype=float32)
    """
    return masked_gates(logits, top_k_mask(logits, k))
