"""One embedding table for all fields."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class FusedEmbedding(keras.layers.Layer):
    """Looks the fields of each row up in one table and flattens them: x0 of every model.

    AdaEnsemble (arXiv 2301.08353), equation 1. One table instead of one a field makes the lookup a single gather and
    its gradient a single set of rows, so that an optimiser can update just the rows of the batch.

    Args:
        num_rows: V, rows of the table over all fields.
        dimension: D, size of an embedding.
        initial_scale: standard deviation of the initial values.

    Call arguments:
        ids: `[B, F]` int32 or int64 row numbers of the fused table, in [0, V).

    Returns:
        `[B, F * D]` float.

    Raises:
        ValueError: if `ids` is not a matrix of integers.
    """

    def __init__(self, num_rows: int, dimension: int = 16, initial_scale: float = 0.01, **kwargs):
        super().__init__(**kwargs)
        if num_rows < 1 or dimension < 1:
            raise ValueError(f"num_rows and dimension must be positive; received {num_rows} and {dimension}")
        self.num_rows = num_rows
        self.dimension = dimension
        self.initial_scale = initial_scale

    def build(self, ids_shape):
        self.table = self.add_weight(
            name="table",
            shape=(self.num_rows, self.dimension),
            initializer=keras.initializers.RandomNormal(stddev=self.initial_scale),
        )
        self.num_fields = ids_shape[-1]

    def call(self, ids):
        if not ids.dtype.is_integer or len(ids.shape) != 2:
            raise ValueError(f"ids must be a [B, F] matrix of integers; received shape {ids.shape} of {ids.dtype}")
        # Gathering from the variable itself, not from its value, keeps the table from being copied.
        embedded = tf.gather(self.table.value, ids)
        return tf.cast(tf.reshape(embedded, [-1, self.num_fields * self.dimension]), self.compute_dtype)

    def compute_output_shape(self, ids_shape):
        return (ids_shape[0], ids_shape[-1] * self.dimension)

    def get_config(self):
        return super().get_config() | {
            "num_rows": self.num_rows,
            "dimension": self.dimension,
            "initial_scale": self.initial_scale,
        }
