"""Weights in a SavedModel: tables in fewer bits and without zero rows, small variables as constants."""

import contextlib
import dataclasses
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from ada_ensemble_tf.keras_private import all_layers
from ada_ensemble_tf.layers.embedding import FusedEmbedding
from ada_ensemble_tf.models import CTRModel

TYPES = ("float32", "bfloat16", "float16")
LARGEST_CONSTANT = 2**16
"""Variables with at most this many elements become constants of the graph."""


@dataclasses.dataclass(frozen=True)
class Storage:
    """How embedding tables are stored. Rows are converted to float32 when read, so all computation is in float32.

    Dense weights stay float32: converting them for each request would take more time than their size is worth.

    Attributes:
        weights: "float32", "bfloat16" or "float16".
        prune_zero_rows: whether to leave out rows that are exactly zero, as G-FTRL makes rows that do not help, and
            look the others up through a map of rows. A table that would not get smaller stays whole.

    Raises:
        ValueError: if `weights` is another type.
    """

    weights: str = "float32"
    prune_zero_rows: bool = False

    def __post_init__(self) -> None:
        if self.weights not in TYPES:
            raise ValueError(f"weights must be one of {TYPES}; received {self.weights!r}")

    @property
    def is_plain(self) -> bool:
        """Whether tables are stored as they are."""
        return self == Storage()


class StoredTable(tf.Module):
    """A read-only table `[V, D]` for lookups.

    Args:
        table: the values, float32 `[V, D]`.
        storage: how they are stored.

    Attributes:
        zeros: how many rows are zero.
        dropped: how many rows were left out.
    """

    def __init__(self, table: np.ndarray, storage: Storage):
        super().__init__()
        dtype = tf.as_dtype(storage.weights)
        used = np.any(table != 0.0, axis=1)
        kept_bytes = (used.sum() + 1) * table.shape[1] * dtype.size + len(table) * tf.int32.size
        self.zeros = int(len(table) - used.sum())
        self.dropped, self.places = 0, None
        if storage.prune_zero_rows and kept_bytes < table.size * dtype.size:
            self.dropped = self.zeros
            self.places = tf.Variable(np.where(used, np.cumsum(used), 0).astype(np.int32), trainable=False)
            table = np.concatenate([np.zeros_like(table[:1]), table[used]])
        self.rows = tf.Variable(tf.cast(table, dtype), trainable=False)

    def sparse_read(self, indices: tf.Tensor, name: str | None = None) -> tf.Tensor:
        """Float32 rows of the table. tf.gather calls this if its source is not a tensor."""
        if self.places is not None:
            indices = tf.gather(self.places, indices)
        return tf.cast(tf.gather(self.rows, indices), tf.float32, name=name)


class StoredTables(tf.Module):
    """A model's tables in storage form; the model's own tables are set to the values that these return.

    Small variables of other layers become constants: reading them one by one takes much of a single row's time, and
    whatever depends only on them, such as the scale of a normalisation or K, is computed once.

    Args:
        model: the model; its tables are rounded to the stored values.
        storage: how the tables are stored.
    """

    def __init__(self, model: CTRModel, storage: Storage):
        super().__init__()
        embeddings = [layer.table for layer in all_layers(model) if isinstance(layer, FusedEmbedding)]
        variables = [] if storage.is_plain else embeddings
        self.tables = []
        for variable in variables:
            self.tables.append(StoredTable(variable.numpy(), storage))
            variable.assign(tf.cast(tf.cast(variable.value, storage.weights), tf.float32))
        self._of = tuple(id(variable) for variable in variables)
        apart = {id(variable) for variable in embeddings}
        constants = {
            id(v): v.numpy() for v in model.variables if id(v) not in apart and np.prod(v.shape) <= LARGEST_CONSTANT
        }
        # Behind a function, because a tf.Module wraps dictionaries.
        self._constants = lambda: constants

    @property
    def zeros(self) -> int:
        """The number of zero rows in all tables."""
        return sum(table.zeros for table in self.tables)

    @property
    def dropped(self) -> int:
        """The number of zero rows that were left out."""
        return sum(table.dropped for table in self.tables)

    @property
    def constant_bytes(self) -> int:
        """Size of the constants."""
        return sum(value.nbytes for value in self._constants().values())

    def others(self, model: CTRModel) -> list[tf.Variable]:
        """The model's variables that are not stored here."""
        return [v.value for v in model.variables if id(v) not in {*self._of, *self._constants()}]

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Within the block, the model reads these tables and constants."""
        with keras.StatelessScope() as scope:
            # Set here, because the constructor would turn them into tensors, which hold whole tables.
            scope.state_mapping.update(zip(self._of, self.tables, strict=True))
            scope.state_mapping.update({of: tf.constant(value) for of, value in self._constants().items()})
            yield
