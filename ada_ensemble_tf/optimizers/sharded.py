"""Gradients of tables that several replicas share, and norms over whole rows of them."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from ada_ensemble_tf.devices.sharded_table import ShardedTable
from ada_ensemble_tf.optimizers.sparse import sum_parts


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


def own_rows(gradient: tf.IndexedSlices) -> tuple[tf.IndexedSlices, tf.Tensor]:
    """(the gradient with each row once, which of these rows each part was of)."""
    rows, places = tf.unique(gradient.indices)
    values = sum_parts(tf.convert_to_tensor(gradient.values), places, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape), places


def clipped_together(
    optimizer: keras.optimizers.Optimizer,
    gradients: Sequence[tf.Tensor | tf.IndexedSlices],
    tables: Sequence[ShardedTable | None],
) -> list[tf.Tensor | tf.IndexedSlices]:
    """The gradients clipped as the optimiser's options say, with norms over all parts of the tables.

    Args:
        optimizer: has the options.
        gradients: with each row once; those of a table are of the part on this replica.
        tables: that each gradient is a part of, None for a gradient that is the same on all replicas.
    """
    if optimizer.clipvalue is not None:
        limit = optimizer.clipvalue
        return [_with_values(g, tf.clip_by_value(_values(g), -limit, limit)) for g in gradients]
    limit = optimizer.clipnorm if optimizer.clipnorm is not None else optimizer.global_clipnorm
    if limit is None:
        return list(gradients)
    squares = [tf.reduce_sum(tf.square(_values(g))) for g in gradients]
    squares = [x if t is None else t.mesh.all_reduce(x) for x, t in zip(squares, tables, strict=True)]
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
