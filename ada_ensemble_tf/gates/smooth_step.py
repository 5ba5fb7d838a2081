"""The smooth step."""

import tensorflow as tf


def smooth_step(t: tf.Tensor, gamma: float = 1.0) -> tf.Tensor:
    """0 up to -gamma / 2, 1 from gamma / 2 on, and -2 t^3 / gamma^3 + 3 t / (2 gamma) + 1/2 between.

    A sigmoid that reaches 0 and 1 exactly, continuous with its derivative (DSelect-k, arXiv 2106.03760, section 3).

    Args:
        t: any shape.
        gamma: width of the slope, above 0.

    Example:
        >>> smooth_step(tf.constant([-1.0, 0.0, 0.25, 0.5])).numpy()
        array([0.     , 0.5    , 0.84375, 1.     ], dtype=float32)
    """
    t = tf.clip_by_value(t / gamma, -0.5, 0.5)
    return 0.5 + t * (1.5 - 2.0 * tf.square(t))
