"""Variables that have other numbers on each replica."""

from typing import Any

import keras


def variable_of_each(
    name: str,
    shape: tuple[int, ...],
    dtype: str = "float32",
    initializer: str | keras.initializers.Initializer = "zeros",
    trainable: bool = False,
) -> Any:
    """A variable that each replica updates alone, without sending anything to others.

    Args:
        name: of the variable.
        shape: that on each replica.
        dtype: the numbers' type.
        initializer: for all replicas alike.
        trainable: whether it is.
    """
    return keras.Variable(
        initializer=keras.initializers.get(initializer),
        shape=shape,
        dtype=dtype,
        trainable=trainable,
        name=name,
        autocast=False,
        synchronization="on_read",
        aggregation="none",
    )
