"""Dropout layers, made only where something is dropped."""

import keras


def make_dropout(dropout: float) -> keras.layers.Dropout | None:
    """A layer that sets the share `dropout` of its inputs to 0 in training; None for a share of 0.

    Keras' layer holds a random state, which a model without dropout should not have to save.

    Raises:
        ValueError: if `dropout` is not in [0, 1).

    Example:
        >>> make_dropout(0.1).rate
        0.1
        >>> make_dropout(0.0) is None
        True
    """
    if not 0.0 <= dropout < 1.0:
        raise ValueError(f"dropout must lie in [0, 1); received {dropout}")
    return keras.layers.Dropout(dropout, name="dropout") if dropout else None
