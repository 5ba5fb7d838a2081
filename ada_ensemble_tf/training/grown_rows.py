"""Embedding tables whose rows have moved: which variables have a row for each level, and their values."""

import keras
import numpy as np
import tensorflow as tf

from ada_ensemble_tf.keras_private import all_layers
from ada_ensemble_tf.layers.embedding import FusedEmbedding
from ada_ensemble_tf.models import CTRModel


def row_layers(model: CTRModel) -> list[FusedEmbedding]:
    """The embeddings whose table has a row for each of the V rows of the data's fused table."""
    layers = [layer for layer in all_layers(model) if isinstance(layer, FusedEmbedding)]
    return [layer for layer in layers if layer.num_rows == model.num_rows]


def rows_to_take(layer: FusedEmbedding, rows: np.ndarray) -> np.ndarray:
    """The earlier row of each row of a layer's table, -1 for none: int64 [V].

    Frozen rows hold the pre-trained vectors of the data, whatever an earlier table has there.
    """
    if not layer.frozen_rows:
        return rows
    taken = rows.copy()
    taken[layer.frozen.numpy()] = -1
    return taken


def state_of_rows(model: CTRModel, table: keras.Variable) -> list[keras.Variable]:
    """The optimisers' variables with a row for each row of a table.

    Keras' optimisers and `RowSparseOptimizer` name the state beside a variable after its path.
    """
    prefix = f"{table.path.replace('/', '_')}_"
    return [
        state
        for state in model.optimizer_variables
        if state.name.startswith(prefix) and tuple(state.shape[:1]) == (model.num_rows,)
    ]


def assign_rows(variable: keras.Variable, before: np.ndarray, rows: np.ndarray) -> None:
    """Gives rows of a variable their earlier values; the others keep what they have.

    Args:
        variable: `[V, ..]`.
        before: the earlier values `[V_before, ..]`.
        rows: `[V]`, the earlier row of each row, -1 for none.
    """
    value = np.array(tf.convert_to_tensor(variable))
    value[rows >= 0] = before[rows[rows >= 0]]
    variable.assign(value)
