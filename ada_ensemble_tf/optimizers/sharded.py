"""Gradients of tables that several replicas share, and norms over whole rows of them."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from ada_ensemble_tf.devices.dense_shards import DenseShards
from ada_ensemble_tf.devices.sharded_table import ShardedTable, shards_of
from ada_ensemble_tf.keras_private import GradientsAndVariables
from ada_ensemble_tf.layers.sharded_variables import sharded_variable
from ada_ensemble_tf.optimizers.sparse import sum_duplicates, sum_parts


class PartOfTable(NamedTuple):
    """The rows that a replica updates in its part of a table."""

    shards: ShardedTable
    """The table."""
    places: tf.Tensor | None
    """Which of these rows each lookup of the batch was of; None if the rows are all in a part."""
    whole_squares: tf.Tensor | None = None
    """Sums of squares over whole rows of the table, where the rows are known to have them."""

    @property
    def dimension(self) -> int:
        """D, the width of whole rows."""
        return self.shards.layout.placement.dimension

    def norms(self, values: tf.Tensor) -> tf.Tensor:
        """The norms `[n, 1]` of the whole rows of which `values` `[n, w]` are the parts on this replica."""
        squares = self.whole_squares
        if squares is None:
            assert self.places is not None, "either the rows of a batch or known sums"
            squares = self.shards.whole_row_sums(tf.reduce_sum(tf.square(values), axis=1), self.places)
        return tf.sqrt(squares)[:, None]


@dataclasses.dataclass
class Traced:
    """What an optimiser knows while its updates are traced; a class of its own, so that Keras does not track it."""

    part: PartOfTable | None = None
    """The part of a shared table that is being updated; None for other variables."""
    places: dict[tuple[int, int], tf.Tensor] = dataclasses.field(default_factory=dict)
    """`PartOfTable.places` by replica of this process and position of the variable."""


class PartsOfTables:
    """What a row-sparse optimiser needs to update its parts of tables that replicas share."""

    name: str
    traced: Traced
    index_of: Callable[..., int]
    started: Callable[..., Mapping[str, tf.Tensor]]
    _trainable_variables: Sequence[keras.Variable]
    _track_variable: Callable[..., None]

    def table_of(self, variable: tf.Variable) -> ShardedTable | None:
        """The shared table that a variable is; None for other variables."""
        return shards_of(self._trainable_variables[self.index_of(variable)])

    def slot_of_parts(
        self,
        shards: ShardedTable,
        name: str,
        shape: tuple[int, ...],
        dtype: str,
        initializer: str | keras.initializers.Initializer,
    ) -> keras.Variable:
        """Makes state beside a shared table."""
        with keras.name_scope(self.name, caller=self):
            slot = sharded_variable(shards, name, shape=shape, dtype=dtype, initializer=initializer)
        self._track_variable(slot)
        return slot

    def start_parts(self, shards: ShardedTable, variable: keras.Variable, slots: Mapping[str, keras.Variable]) -> None:
        """Gives the slots of a shared table the values that depend on it."""
        if not self.started(tf.zeros([1, shards.layout.unit])):
            return

        def start(_: tf.Tensor, rows: tf.Tensor, w: tf.Tensor, squares: tf.Tensor, *others: tf.Tensor) -> tf.Tensor:
            self.traced.part = PartOfTable(shards, None, squares)
            for name, value in self.started(w).items():
                shards.part(slots[name]).scatter_update(tf.IndexedSlices(value, rows))
            return tf.constant(0)

        shards.over_rows(variable, start, tf.constant(0))
        self.traced.part = None

    @contextlib.contextmanager
    def on_part(self, variable: tf.Variable, local: int) -> Iterator[None]:
        """Within the block, norms are over whole rows, if the variable is a table that the replicas share."""
        shards = self.table_of(variable)
        if shards is None:
            yield
            return
        self.traced.part = PartOfTable(shards, self.traced.places.get((local, self.index_of(variable))))
        with shards.mesh.on_replica(local):
            yield
        self.traced.part = None

    def parts_of_all(
        self, gradients: GradientsAndVariables, tables: Sequence[ShardedTable | None], others: GradientsAndVariables
    ) -> GradientsAndVariables:
        """The gradients as they are to be applied: each row once, clipped by norms over all parts.

        Args:
            gradients: those of this replica.
            tables: the shared table that each is of, or None.
            others: the gradients that are of none, summed over the replicas.
        """
        once, summed = [], iter(others)
        for (gradient, variable), table in zip(gradients, tables, strict=True):
            if table is None:
                gradient, _ = next(summed)
                once.append(sum_duplicates(gradient) if isinstance(gradient, tf.IndexedSlices) else gradient)
            else:
                gradient, places = own_rows(gradient)
                self.traced.places[table.mesh.local_replica(), self.index_of(variable)] = places
                once.append(gradient)
        values = clipped_together(self, once, tables)
        return [(g, variable) for g, (_, variable) in zip(values, gradients, strict=True)]


def own_rows(gradient: tf.IndexedSlices) -> tuple[tf.IndexedSlices, tf.Tensor]:
    """(the gradient with each row once, which of these rows each part was of)."""
    rows, places = tf.unique(gradient.indices)
    values = sum_parts(tf.convert_to_tensor(gradient.values), places, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape), places


def clipped_together(
    optimizer: keras.optimizers.Optimizer,
    gradients: Sequence[tf.Tensor | tf.IndexedSlices],
    tables: Sequence[ShardedTable | None] | Sequence[DenseShards | None],
) -> list[tf.Tensor | tf.IndexedSlices]:
    """The gradients clipped as the optimiser's options say, with norms over all parts of the tables or weights.

    Args:
        optimizer: has the options.
        gradients: with each row once; those of a table are of the part on this replica.
        tables: the table or shared weight that each gradient is a part of, None for a gradient that is the same on all
            replicas.
    """
    if optimizer.clipvalue is not None:
        limit = optimizer.clipvalue
        return [_with_values(g, tf.clip_by_value(_values(g), -limit, limit)) for g in gradients]
    limit = optimizer.clipnorm if optimizer.clipnorm is not None else optimizer.global_clipnorm
    if limit is None:
        return list(gradients)
    squares = [tf.reduce_sum(tf.square(_values(g))) for g in gradients]
    if shared := [table for table in tables if table is not None]:
        of_parts = [x for x, table in zip(squares, tables, strict=True) if table is not None]
        whole = iter(tf.unstack(shared[0].mesh.all_reduce(tf.stack(of_parts), shared[0].group), num=len(shared)))
        squares = [x if table is None else next(whole) for x, table in zip(squares, tables, strict=True)]
    if optimizer.clipnorm is None:
        squares = [tf.add_n(squares)] * len(squares)
    scales = [limit / tf.maximum(tf.sqrt(x), limit) for x in squares]
    return [_with_values(g, _values(g) * scale) for g, scale in zip(gradients, scales, strict=True)]


def _values(gradient: tf.Tensor | tf.IndexedSlices) -> tf.Tensor:
    return gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient


def _with_values(gradient: tf.Tensor | tf.IndexedSlices, values: tf.Tensor) -> Any:
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)
    return values
