"""Variables of tables that several replicas share; each replica holds other rows and columns of the table."""

import keras

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
    variable = keras.Variable(
        initializer=keras.initializers.get(initializer),
        shape=shape or shards.shape,
        dtype=dtype,
        trainable=trainable,
        name=name,
        autocast=False,
        synchronization="on_read",
        aggregation="none",
    )
    variable.shards = shards
    return variable


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
                rows = slice(begin + level * factor, begin + (level + count) * factor)
                own = drawn[:, piece.first : piece.first + piece.width]
                part[rows].assign(keras.ops.reshape(own, [-1, layout.unit]))
