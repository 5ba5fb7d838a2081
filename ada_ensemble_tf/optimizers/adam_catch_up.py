"""What dense Adam does to a row in steps in which the row has no gradient."""

import math

import tensorflow as tf

REMAINDER = 1e-7
"""About the largest share of an absent row's weight updates that is left out."""


def most_skipped(beta_1: float, beta_2: float) -> int:
    """The number of steps without a gradient after which a weight hardly moves.

    Its updates shrink at least as fast as (beta_1 / sqrt(beta_2))^j.

    Raises:
        ValueError: if they do not shrink.
    """
    ratio = beta_1 / math.sqrt(beta_2) if beta_2 else math.inf
    if ratio >= 1.0:
        raise ValueError(
            f"catch_up needs beta_1 below sqrt(beta_2), or rows without gradients would never stop moving; received "
            f"beta_1 {beta_1} and beta_2 {beta_2}"
        )
    return math.ceil(math.log(REMAINDER) / math.log(ratio)) if ratio else 1


def caught_up(
    w: tf.Tensor,
    m: tf.Tensor,
    v: tf.Tensor,
    last: tf.Tensor,
    now: tf.Tensor,
    learning_rate: tf.Tensor | float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """(w, m, v) of rows as in dense Adam after step `now`, if their gradients were zero since step `last`.

    With k = now - last, m becomes beta_1^k m, v becomes beta_2^k v, and

        w <- w - learning_rate sum_{j=1..k} sqrt(1 - beta_2^(last+j)) / (1 - beta_1^(last+j))
                               beta_1^j m / (sqrt(beta_2^j v) + epsilon)

    which has no closed form for epsilon above 0. Terms are added one by one up to the largest k among the rows, but at
    most `most_skipped` of them: about `REMAINDER` of the sum is left out.

    Args:
        w: weights `[n, ..]`.
        m: first moments, like w.
        v: second moments, like w.
        last: the last step that changed w, m and v, `[n]` integers; 0 for none, when the moments are 0.
        now: the step to catch up with, an integer; rows that are further along stay unchanged.
        learning_rate: that of all steps in between.
        beta_1: decay of m.
        beta_2: decay of v.
        epsilon: above 0.
    """
    # A row that never had a gradient has zero moments, so no step changes it.
    steps = tf.where(last > 0, tf.maximum(now - last, 0), 0)
    column = tf.concat([tf.shape(last), tf.ones([w.shape.rank - last.shape.rank], tf.int32)], axis=0)
    skipped, start = (tf.cast(tf.reshape(x, column), w.dtype) for x in (steps, last))
    terms = tf.minimum(tf.reduce_max(steps), most_skipped(beta_1, beta_2))
    beta_1, beta_2 = tf.constant(beta_1, w.dtype), tf.constant(beta_2, w.dtype)
    start_1, start_2, root = beta_1**start, beta_2**start, tf.sqrt(v)

    def add_term(j: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        power = tf.cast(j, w.dtype)
        decay_1, decay_2 = beta_1**power, beta_2**power
        correction = tf.sqrt(1.0 - start_2 * decay_2) / (1.0 - start_1 * decay_1)
        factor = tf.where(power <= skipped, correction * decay_1, 0.0)
        return j + 1, total + factor / (root * tf.sqrt(decay_2) + epsilon)

    _, total = tf.while_loop(lambda j, _: j <= terms, add_term, (tf.ones([], terms.dtype), tf.zeros_like(w)))
    return w - learning_rate * total * m, m * beta_1**skipped, v * beta_2**skipped
