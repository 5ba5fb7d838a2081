"""An embedding table whose columns are on several devices: lookups, and what is computed over whole rows."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ada_ensemble_tf.devices.mesh import Group, Mesh
from ada_ensemble_tf.devices.table_layout import TableLayout

CHUNK = 65536
"""Rows that are read at once when all are: enough for the work to exceed the cost of an exchange by far."""
_as_it_is = tf.autograph.experimental.do_not_convert


class ShardedTable:
    """What the replicas of a mesh do together with a table of V rows and D columns that they share.

    The variable of a table, `[L, w]` on each replica, holds other numbers on each (`synchronization="on_read"`).

    Args:
        mesh: of N replicas.
        layout: of a placement on N devices.
        exchanged: the type in which embeddings and their gradients are sent, "float32" or "bfloat16". They are rounded
            to it by the sender; all sums are in float32.
    """

    group: Group = "world"
    """The replicas that share it."""

    def __init__(self, mesh: Mesh, layout: TableLayout, exchanged: str = "float32"):
        self.mesh, self.layout, self.exchanged = mesh, layout, exchanged
        self._batch: int | None = None
        largest = max(layout.rows, max(layout.offsets) * layout.slices + layout.rows)
        self._integer = np.int32 if largest < 2**31 else np.int64

    @property
    def shape(self) -> tuple[int, int]:
        """(L, w), the shape of each replica's part."""
        return self.layout.rows, self.layout.unit

    @property
    def logical_shape(self) -> tuple[int, int]:
        """(V, D), the shape of the table."""
        return sum(self.layout.sizes), self.layout.placement.dimension

    def parts(self, variable: keras.Variable | tf.Variable) -> Sequence[tf.Variable]:
        """The parts of a variable that are on this process's replicas, in their order."""
        value = variable.value if isinstance(variable, keras.Variable) else variable
        return self._strategy.experimental_local_results(value)

    def part(self, variable: keras.Variable | tf.Variable) -> tf.Variable:
        """The part of a variable that is on the replica being traced."""
        return self.parts(variable)[self.mesh.local_replica()]

    @property
    def _strategy(self) -> tf.distribute.Strategy:
        assert self.mesh.strategy is not None, "a table is shared by several replicas"
        return self.mesh.strategy

    def _own(self, of_all: np.ndarray, dtype: Any = None) -> tf.Tensor:
        return tf.constant(of_all[self.mesh.replica()], dtype or self._integer)

    @_as_it_is
    def lookup(self, variable: keras.Variable, ids: tf.Tensor) -> tf.Tensor:
        """The embeddings of the rows of the replica being traced, `[b, F * D]`; all replicas call it together.

        A field of several ids has their mean. Every replica looks up its pieces for the rows of all replicas and sends
        each its part. In the gradient the parts go back, so that each replica gets the rows of its pieces that any
        replica's loss depends on.

        Args:
            variable: the table.
            ids: `[b, C]` integers, negative where unused; b is known and the same on all replicas.

        Raises:
            ValueError: if b is not known.
        """
        if ids.shape[0] is None:
            raise ValueError("a lookup in a table on several devices needs a known number of rows")
        layout, replicas = self.layout, self.mesh.replicas
        self._batch = ids.shape[0] * replicas
        columns = tf.gather(tf.transpose(self.mesh.all_gather(ids)), self._own(layout.entry_column))
        used = (columns >= 0) & self._own(layout.entry_real, tf.bool)[:, None]
        rows = tf.cast(columns, self._integer) * self._own(layout.entry_factor)[:, None]
        rows = tf.where(used, rows + self._own(layout.entry_base)[:, None], 0)
        found = tf.gather(self.part(variable), rows)
        if layout.has_padding:
            weights = tf.cast(used, found.dtype)[:, :, None]
            units = self._own(layout.entry_unit)
            sums = tf.math.unsorted_segment_sum(found * weights, units, layout.units)
            found = sums / tf.maximum(tf.math.unsorted_segment_sum(weights, units, layout.units), 1.0)
        parts = tf.reshape(found, [layout.units, replicas, ids.shape[0], layout.unit])
        received = self._exchange(tf.transpose(parts, [1, 0, 2, 3]))
        units = tf.reshape(received, [replicas * layout.units, ids.shape[0], layout.unit])
        embedded = tf.transpose(tf.gather(units, layout.place_of_unit), [1, 0, 2])
        return tf.reshape(embedded, [ids.shape[0], len(layout.place_of_unit) * layout.unit])

    def _exchange(self, parts: tf.Tensor) -> tf.Tensor:
        """`Mesh.all_to_all` of float32, sent as `exchanged` in both directions."""
        if self.exchanged == "float32":
            return self.mesh.all_to_all(parts)

        def rounded(x: tf.Tensor) -> tf.Tensor:
            # Collectives know no bfloat16; exchanging moves bits.
            bits = tf.bitcast(tf.cast(x, tf.bfloat16), tf.float16)
            return tf.cast(tf.bitcast(self.mesh.all_to_all(bits), tf.bfloat16), x.dtype)

        @tf.custom_gradient
        def exchange(x: tf.Tensor) -> tuple[tf.Tensor, Callable]:
            return rounded(x), rounded

        return exchange(parts)

    @_as_it_is
    def whole_row_sums(self, sums: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        """Sums over whole rows of the table, from sums over the parts on each replica; all replicas call it together.

        Args:
            sums: `[n]`, for n different rows of the part of the replica being traced.
            places: which of these n each lookup of the batch was of, in the order of a gradient's rows.

        Raises:
            ValueError: if the gradient is not of a single `lookup`.
        """
        if self.layout.slices == 1:
            return sums
        entries = self.layout.entry_column.shape[1]
        if places.shape[0] != entries * (self._batch or 0):
            raise ValueError(
                f"a table on several devices is looked up once in a step: its gradient should have "
                f"{entries * (self._batch or 0)} rows; received {places.shape[0]}"
            )
        columns = self._own(self.layout.entry_column)
        at_lookups = tf.reshape(tf.gather(sums, places), [entries, self._batch])
        # What fills up reads row 0, whose sum is 0.
        by_column = tf.math.unsorted_segment_sum(at_lookups, columns, self.layout.columns)
        whole = tf.gather(self.mesh.all_reduce(by_column), columns)
        return tf.math.unsorted_segment_max(tf.reshape(whole, [-1]), places, tf.size(sums))

    def over_rows(self, variable: keras.Variable | tf.Variable, function: Callable[..., Any], start: Any) -> Any:
        """Goes through all rows of the table, a part at a time; call it outside of the replicas, in all processes.

        Args:
            variable: a variable of the table's layout.
            function: takes (state, rows `[n]` of the own part, its values `[n, w]`, squares `[n]`, nonzeros `[n]`,
                counts `[n]`) on each replica and returns the new state, the same on all. The squares and the numbers of
                elements other than 0 are sums over whole rows. The counts are 1 for one unit of each row of the table
                and 0 elsewhere.
            start: the first state, a tensor.
        """
        size = min(CHUNK, max(self.layout.sizes))
        ranges = [(f, first) for f, rows in enumerate(self.layout.sizes) for first in range(0, rows, size)]

        @_as_it_is
        def on_replica(i: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
            return self._on_range(variable, function, state, tf.gather(tf.constant(ranges, tf.int64), i), size)

        # The loop goes around the replicas: collectives do not meet across loops within them.
        def body(i: tf.Tensor, state: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            of_each = self._strategy.run(on_replica, (i, state))
            return i + 1, self._strategy.experimental_local_results(of_each)[0]

        @tf.function(autograph=False)
        def over_all() -> tf.Tensor:
            return tf.while_loop(lambda i, state: i < len(ranges), body, (tf.constant(0), start))[1]

        return over_all()

    def _on_range(
        self, variable: keras.Variable | tf.Variable, function: Callable[..., Any], state: Any, at: tf.Tensor, size: int
    ) -> Any:
        """`over_rows` on the replica being traced for a range of levels: (field, first level) and its size."""
        layout = self.layout
        field, first = tf.unstack(at)
        sizes, factors = (tf.constant(numbers, tf.int64) for numbers in (layout.sizes, layout.field_factor))
        levels = first + tf.range(size, dtype=tf.int64)
        there = levels < sizes[field]
        base = self._own(layout.field_base, tf.int64)[field][:, None]
        rows = tf.where(there & (base >= 0), base + levels * factors[field], 0)
        values = tf.gather(self.part(variable), rows)
        sums = [tf.square(values), tf.cast(values != 0.0, values.dtype)]
        squares, nonzeros = tf.unstack(self.mesh.all_reduce(tf.stack([tf.reduce_sum(x, [0, 2]) for x in sums])))
        first_unit = tf.range(layout.slices)[:, None] == 0
        flat = [tf.reshape(rows, [-1]), tf.reshape(values, [-1, layout.unit])]
        flat += [tf.tile(x, [layout.slices]) for x in (squares, nonzeros)]
        return function(state, *flat, tf.reshape(tf.cast(first_unit & there, values.dtype), [-1]))


def shards_of(variable: Any) -> ShardedTable | None:
    """The sharded table that a variable belongs to, as the table or as an optimiser's state beside it; else None."""
    return getattr(variable, "shards", None)
