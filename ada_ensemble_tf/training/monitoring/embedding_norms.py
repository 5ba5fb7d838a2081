"""Measures the size of a model's embeddings and how many have been pruned."""

import keras
import tensorflow as tf

from ada_ensemble_tf.keras_private import all_layers
from ada_ensemble_tf.layers.embedding import FusedEmbedding
from ada_ensemble_tf.models import CTRModel

CHUNK = 65536
"""Rows per chunk: enough for the work on a chunk to far exceed the cost of starting it."""


class EmbeddingNorms:
    """Mean Euclidean norm of each table's rows, and the share of all-zero rows.

    A row is zero if G-FTRL has pruned it, or if no training row has used it and tables start from 0. Traced once, so
    keep it for as long as the model. Where workers share tables, all call it together.

    Args:
        model: a `CTRModel`.
    """

    def __init__(self, model: CTRModel):
        layers = [layer for layer in all_layers(model) if isinstance(layer, FusedEmbedding)]
        self._tables = {layer.name: layer.table for layer in layers if layer.shards is None}
        self._shared = {layer.name: (layer.shards, layer.table) for layer in layers if layer.shards is not None}
        self._run = tf.function(self._all_tables, autograph=False)

    def __call__(self) -> dict[str, float]:
        """`embeddings/norm/<table>` and `embeddings/zero_rows/<table>` for all tables."""
        results = {name: float(value) for name, value in self._run().items()}
        for name, (shards, table) in self._shared.items():
            norms, nonzero = shards.over_rows(table, _add_rows, tf.zeros([2], tf.float64)).numpy()
            rows = shards.logical_shape[0]
            results |= {f"embeddings/norm/{name}": norms / rows, f"embeddings/zero_rows/{name}": 1.0 - nonzero / rows}
        return results

    def _all_tables(self):
        results: dict[str, tf.Tensor] = {}
        for name, table in self._tables.items():
            norms, zeros = self._sums(table)
            results |= {
                f"embeddings/norm/{name}": norms / table.shape[0],
                f"embeddings/zero_rows/{name}": zeros / table.shape[0],
            }
        return results

    def _sums(self, table: keras.Variable) -> tuple[tf.Tensor, tf.Tensor]:
        """(sum of the rows' norms, number of zero rows), in float64: float32 counts to 2^24."""
        rows = table.shape[0]

        def add_chunk(start, norms, zeros):
            # Gather, because reading a variable that is updated by rows copies all of it.
            chunk = tf.cast(tf.gather(table.value, tf.range(start, tf.minimum(start + CHUNK, rows))), tf.float32)
            norms += tf.reduce_sum(tf.cast(tf.norm(chunk, axis=1), tf.float64))
            zeros += tf.reduce_sum(tf.cast(tf.reduce_all(chunk == 0.0, axis=1), tf.float64))
            return start + CHUNK, norms, zeros

        nothing = tf.constant(0.0, tf.float64)
        _, norms, zeros = tf.while_loop(lambda start, *_: start < rows, add_chunk, (tf.constant(0), nothing, nothing))
        return norms, zeros


def _add_rows(
    sums: tf.Tensor, rows: tf.Tensor, values: tf.Tensor, squares: tf.Tensor, nonzeros: tf.Tensor, counts: tf.Tensor
) -> tf.Tensor:
    """(sum of the rows' norms, number of rows not zero) with these rows added, see `ShardedTable.over_rows`."""
    del rows, values
    own = [tf.sqrt(squares) * counts, tf.cast(nonzeros > 0.0, counts.dtype) * counts]
    return sums + tf.stack([tf.reduce_sum(tf.cast(x, tf.float64)) for x in own])
