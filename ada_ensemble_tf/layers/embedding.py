"""One embedding table for all fields."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ada_ensemble_tf.devices.sharded_table import ShardedTable
from ada_ensemble_tf.devices.sharding import shard_of_table
from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.layers.sharded_variables import fill, sharded_variable
from data_pipelines.read.inputs import Inputs, ids_of, named, values_of

TABLE_TYPES = ("float32", "bfloat16", "float16")
"""The types in which a table can be stored."""


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class FusedEmbedding(keras.layers.Layer):
    """Looks up each row's fields in one table and flattens the embeddings: x0 of every model.

    AdaEnsemble (arXiv 2301.08353), equation 1. With one table instead of one per field, the lookup is a single gather
    and its gradient a single set of rows, so an optimiser can update only the rows of the batch.

    A field with several values has several columns of ids; its embedding is the mean of theirs. Unused columns hold a
    negative id, for which no row of the table is read or updated. A field with a float value is its row times that
    value if its id is the row of read values. It is the row alone if the value was missing or unreadable.

    Args:
        num_rows: V, rows of the table over all fields.
        dimension: D, size of an embedding.
        initial_scale: standard deviation of the initial values.
        widths: number of id columns of each of the F fields, C in total; None means one each.
        value_rows: (position of the field, row of its values) for each of the N fields with a float, in the order of
            the values' columns.
        truncated: whether initial values beyond two standard deviations are drawn again.
        table_dtype: the type in which the table is stored, "float32", "bfloat16" or "float16"; by default the layer's.
            Rows in 16 bits are read as float32, and their gradient is float32. Initial values are those of a float32
            table, rounded. Train such a table with a `RowSparseOptimizer`, which rounds by chance.
        frozen_rows: the number of rows that get no gradient, once `freeze` has said which. Optimisers that update only
            rows with a gradient, as those of `ada_ensemble_tf.optimizers` do, leave them as they are.

    Call arguments:
        inputs: ids `[B, C]`, int32 or int64 row numbers of the fused table, in [0, V). In a field of several columns,
            unused ones are negative and at least one is used. With `value_rows`, a dictionary of these "ids" and of
            "values", float `[B, N]`.

    Returns:
        `[B, F * D]` float.

    Raises:
        ValueError: if arguments or inputs do not have the form described.

    Example:
        >>> FusedEmbedding(num_rows=10, dimension=4)(tf.constant([[0, 5], [3, 7]])).shape
        TensorShape([2, 8])
        >>> FusedEmbedding(num_rows=10, dimension=4, widths=(1, 2))(tf.constant([[0, 5, -1]])).shape
        TensorShape([1, 8])
    """

    shards: ShardedTable | None
    """How replicas share the table, if it was made within `devices.sharding.sharded_tables`."""

    def __init__(
        self,
        num_rows: int,
        dimension: int = 16,
        initial_scale: float = 0.01,
        widths: Sequence[int] | None = None,
        value_rows: Sequence[tuple[int, int]] = (),
        truncated: bool = False,
        table_dtype: str | None = None,
        frozen_rows: int = 0,
        **kwargs: Any,
    ):
        # Under mixed precision, casting would copy the table, and values would lose digits.
        super().__init__(autocast=False, **kwargs)
        if num_rows < 1 or dimension < 1:
            raise ValueError(f"num_rows and dimension must be positive; received {num_rows} and {dimension}")
        if not 0 <= frozen_rows <= num_rows:
            raise ValueError(f"frozen_rows must lie in [0, num_rows={num_rows}]; received {frozen_rows}")
        if widths is not None and (not len(widths) or min(widths) < 1):
            raise ValueError(f"widths must be positive numbers of columns, one a field; received {list(widths)}")
        if table_dtype is not None and table_dtype not in TABLE_TYPES:
            raise ValueError(f"table_dtype must be one of {', '.join(TABLE_TYPES)}; received {table_dtype!r}")
        self.table_dtype = table_dtype
        self.num_rows = num_rows
        self.dimension = dimension
        self.initial_scale = initial_scale
        self.widths = None if widths is None else tuple(int(width) for width in widths)
        self.value_rows = tuple((int(field), int(row)) for field, row in value_rows)
        self.truncated = truncated
        self.frozen_rows = frozen_rows

    def build(self, inputs_shape: Shape | Mapping[str, Shape]) -> None:
        columns = ids_of(inputs_shape)[-1]
        widths = self.widths or (1,) * columns
        if sum(widths) != columns:
            raise ValueError(f"ids must have sum(widths) = {sum(widths)} columns; received {columns}")
        # The field of each column of ids.
        self.field_of_column = [field for field, width in enumerate(widths) for _ in range(width)]
        self.num_fields = len(widths)
        self.has_padding = max(widths) > 1
        value_fields = [field for field, _ in self.value_rows]
        bad = [(f, r) for f, r in self.value_rows if not 0 <= f < len(widths) or not 0 <= r < self.num_rows]
        if bad or len(set(value_fields)) != len(value_fields) or any(widths[field] > 1 for field in value_fields):
            raise ValueError(
                f"value_rows must be pairs (field of one column below {len(widths)}, row below {self.num_rows}) with "
                f"each field once; received {self.value_rows}"
            )
        self.value_columns = [self.field_of_column.index(field) for field in value_fields]
        # Each field's index in [1, values ..], where the factor of its embedding stands.
        places = {field: 1 + i for i, field in enumerate(value_fields)}
        self.factor_places = [places.get(field, 0) for field in range(len(widths))]
        kind = keras.initializers.TruncatedNormal if self.truncated else keras.initializers.RandomNormal
        shape, start = (self.num_rows, self.dimension), kind(stddev=self.initial_scale)
        self.shards = shard_of_table(self.name, self.num_rows, widths, self.dimension)
        if self.shards is not None:
            with keras.name_scope(self.name, caller=self):
                self.table = sharded_variable(self.shards, "table", trainable=True)
            fill(self.shards, self.table, start)
            return
        start = start if self.table_dtype in (None, "float32") else _rounded(start)
        self.table = self.add_weight(
            name="table", shape=shape, initializer=start, dtype=self.table_dtype, autocast=False
        )
        if self.frozen_rows:
            # Rising row numbers; -1 is no row.
            none = keras.initializers.Constant(-1)
            self.frozen = self.add_weight(
                name="frozen", shape=(self.frozen_rows,), dtype="int32", initializer=none, trainable=False
            )

    def freeze(self, rows: np.ndarray) -> None:
        """Says which rows get no gradient: `frozen_rows` different row numbers. Raises ValueError for others."""
        if len(rows) != self.frozen_rows or len(np.unique(rows)) != len(rows):
            raise ValueError(f"rows must be frozen_rows={self.frozen_rows} different rows; received {len(rows)}")
        if len(rows):
            self.frozen.assign(np.sort(rows).astype(np.int32))

    def call(self, inputs: Inputs) -> tf.Tensor:
        ids, values = self._checked(inputs)
        if self.shards is not None:
            embedded = self.shards.lookup(self.table, ids)
        else:
            embedded = self._mean(ids) if self.has_padding else self._gather(ids)
        if self.value_rows:
            factors = self._factors(ids, tf.cast(values, embedded.dtype))
            embedded = tf.reshape(embedded, [-1, self.num_fields, self.dimension]) * factors[:, :, None]
        return tf.cast(tf.reshape(embedded, [-1, self.num_fields * self.dimension]), self.compute_dtype)

    def rows_read(self, inputs: Inputs) -> tf.Tensor:
        """How many rows of the table a lookup reads: a float32 scalar."""
        ids = ids_of(inputs)
        return tf.reduce_sum(tf.cast(ids >= 0, tf.float32)) if self.has_padding else tf.cast(tf.size(ids), tf.float32)

    def _mean(self, ids: tf.Tensor) -> tf.Tensor:
        """The mean embedding of each field's valid ids: `[B * F, D]`."""
        columns = len(self.field_of_column)
        flat = tf.reshape(ids, [-1])
        # Only valid ids are gathered, so padding gives no row a gradient, not even a zero one.
        used = tf.where(flat >= 0)[:, 0]
        fields = tf.gather(tf.constant(self.field_of_column, tf.int64), used % columns)
        segments = used // columns * self.num_fields + fields
        return tf.math.segment_mean(self._gather(tf.gather(flat, used)), segments)

    def _gather(self, ids: tf.Tensor) -> tf.Tensor:
        """The rows of ids, of which frozen ones get no gradient, not even a zero one."""
        # Gathering from the variable itself, not from its value, keeps the table from being copied.
        if not self.frozen_rows:
            return _exact(tf.gather(self.table.value, ids))
        flat, frozen = tf.reshape(ids, [-1]), tf.cast(tf.convert_to_tensor(self.frozen), ids.dtype)
        place = tf.minimum(tf.searchsorted(frozen, flat), self.frozen_rows - 1)
        free = tf.where(tf.gather(frozen, place) != flat)
        rows = tf.stop_gradient(_exact(tf.gather(self.table.value, flat)))
        free_rows = _exact(tf.gather(self.table.value, tf.gather(flat, free[:, 0])))
        rows = tf.tensor_scatter_nd_update(rows, free, free_rows)
        return tf.reshape(rows, tf.concat([tf.shape(ids), [self.dimension]], axis=0))

    def _factors(self, ids: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        """The factor of each field's embedding: `[B, F]`."""
        rows = tf.constant([row for _, row in self.value_rows], ids.dtype)
        known = tf.gather(ids, self.value_columns, axis=1) == rows
        factors = tf.where(known, values, tf.ones_like(values))
        return tf.gather(tf.concat([tf.ones_like(factors[:, :1]), factors], axis=1), self.factor_places, axis=1)

    def _checked(self, inputs: Inputs) -> tuple[tf.Tensor, tf.Tensor | None]:
        """(ids, values or None) of inputs."""
        columns, count = len(self.field_of_column), len(self.value_rows)
        ids, values = inputs, None
        if count and named(inputs).keys() == {"ids", "values"}:
            ids, values = ids_of(inputs), values_of(inputs)
        if not _is_matrix(ids, "is_integer", columns) or (count and not _is_matrix(values, "is_floating", count)):
            form = f"ids must be a [B, {columns}] matrix of integers"
            if count:
                form = f'inputs must be {{"ids", "values"}}: {form}, values a [B, {count}] matrix of floats'
            received = tf.nest.map_structure(lambda x: f"{x.dtype.name} {x.shape}", inputs)
            raise ValueError(f"{form}; received {received}")
        return ids, values

    def compute_output_shape(self, inputs_shape: Shape | Mapping[str, Shape]) -> Shape:
        ids_shape = ids_of(inputs_shape)
        return (ids_shape[0], (len(self.widths) if self.widths else ids_shape[-1]) * self.dimension)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "num_rows": self.num_rows,
            "dimension": self.dimension,
            "initial_scale": self.initial_scale,
            "widths": None if self.widths is None else list(self.widths),
            "value_rows": [list(pair) for pair in self.value_rows],
            "truncated": self.truncated,
            "table_dtype": self.table_dtype,
            "frozen_rows": self.frozen_rows,
        }


def _rounded(start: keras.initializers.Initializer) -> Callable[[Shape, str], tf.Tensor]:
    """An initialiser that rounds what another one draws in float32."""
    return lambda shape, dtype: tf.cast(start(shape, "float32"), dtype)


def _exact(rows: tf.Tensor) -> tf.Tensor:
    """Rows of a 16-bit table in float32, with a float32 gradient: a rounded one would lose the sum over a batch."""
    return _widened(rows) if rows.dtype in (tf.bfloat16, tf.float16) else rows


@tf.custom_gradient
def _widened(rows: tf.Tensor):
    return tf.cast(rows, tf.float32), lambda upstream: upstream


def _is_matrix(x: Any, kind: str, width: int) -> bool:
    return tf.is_tensor(x) and getattr(x.dtype, kind) and x.shape.rank == 2 and x.shape[1] == width
