"""Variables of tables that several replicas share; each replica holds other rows and columns of the table."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.devices.own_values import variable_of_each
from ada_ensemble_tf.devices.sharded_table import ShardedTable
from ada_ensemble_tf.layers.initial_rows import initial_rows

CHUNK = 65536
"""Rows that are drawn at once."""


def sharded_variable(
    shards: ShardedTable,
    name: str,
    trainable: bool = False,
    shape: tuple[int, ...] | None = None,
    dtype: str = "float32",
    initializer: str | keras.initializers.Initializer = "zeros",
) -> keras.Variable:
    """A variable with the layout of a table's parts; `shards_of` finds the table again.

    Args:
        shards: the table.
        name: of the variable.
        trainable: whether it is.
        shape: that of a part if it is not `shards.shape`: (L,) has a number for each of its rows.
        dtype: the numbers' type.
        initializer: for all parts alike.
    """
    with _own_initial_values(shards.mesh.strategy):
        variable = variable_of_each(name, shape or shards.shape, dtype, initializer, trainable)
    variable.shards = shards
    return variable


@contextlib.contextmanager
def _own_initial_values(strategy: tf.distribute.Strategy | None) -> Iterator[None]:
    """Within the block, each replica computes the initial values of variables.

    By default the chief sends its own to all workers, in messages as large as the variable: several times the memory of
    a part, and no message holds more than 2 GiB.
    """
    if strategy is None or not hasattr(strategy.extended, "_get_variable_creator_initial_value"):
        yield
        return
    extended: Any = strategy.extended
    extended._get_variable_creator_initial_value = lambda initial_value, **_: initial_value
    try:
        yield
    finally:
        del extended._get_variable_creator_initial_value


def fill(
    shards: ShardedTable,
    variable: keras.Variable,
    initializer: keras.initializers.RandomNormal | keras.initializers.TruncatedNormal,
) -> None:
    """Gives a table the initial values that it would have on one device, on the replicas of this process.

    The rows of a part are drawn with all D columns, of which the part keeps its own, so an initial value does not
    depend on the number of devices.
    """
    layout, mesh = shards.layout, shards.mesh
    dimension = layout.placement.dimension
    for local, part in enumerate(shards.parts(variable)):
        for piece in layout.placement.of_device(mesh.first + local):
            factor, begin = piece.width // layout.unit, layout.rows_of(piece).start
            for level in range(0, layout.sizes[piece.field], CHUNK):
                count = min(CHUNK, layout.sizes[piece.field] - level)
                drawn = initial_rows(initializer, dimension, layout.offsets[piece.field] + level, count)
                rows = tf.range(begin + level * factor, begin + (level + count) * factor)
                own = drawn[:, piece.first : piece.first + piece.width]
                # By rows, because assigning to a slice reads the part, and may copy it, each time.
                part.scatter_update(tf.IndexedSlices(tf.reshape(own, [-1, layout.unit]), rows))
