"""Embedding tables that start from the pre-trained vectors of prepared data."""

import numpy as np
import tensorflow as tf

from ada_ensemble_tf.keras_private import all_layers
from ada_ensemble_tf.layers.embedding import FusedEmbedding
from ada_ensemble_tf.models import CTRModel
from data_pipelines.errors import UserError
from data_pipelines.fields.vectors import load_vectors
from data_pipelines.read.dataset import PreparedData


def start_from_vectors(model: CTRModel, data: PreparedData) -> None:
    """Sets the rows of all levels that have a vector in every table of the vectors' width.

    Call it before `compile`, because some optimisers derive their state from the initial rows. `build_model`, and so
    training, calls it. Rows of fields that are frozen get no update from then on.

    Args:
        model: made for the data's schema.
        data: prepared data.

    Raises:
        UserError: if no table has the vectors' width, or a file is damaged.
    """
    fields = [field for field in data.schema.fields if field.vector_width]
    if not fields:
        return
    layers = [layer for layer in all_layers(model) if isinstance(layer, FusedEmbedding)]
    tables = [layer for layer in layers if layer.dimension == fields[0].vector_width]
    if not tables:
        sizes = " and ".join(str(size) for size in sorted({layer.dimension for layer in layers}))
        raise UserError(
            f"{data.path / data.schema.vector_files[fields[0].name]}: field {fields[0].name}: its vectors have "
            f"{fields[0].vector_width} numbers, but {model.name} has embeddings of size {sizes}; set "
            f"config.model.dimension={fields[0].vector_width}"
        )
    loaded = [(field, *load_vectors(data.path, data.schema, field)) for field in fields]
    frozen = [rows for field, rows, _ in loaded if field.frozen]
    for layer in tables:
        table = tf.cast(layer.table, tf.float32).numpy()
        for _, rows, vectors in loaded:
            table[rows] = vectors
        layer.table.assign(tf.cast(table, layer.table.dtype))
        if frozen:
            layer.freeze(np.concatenate(frozen))


def check_optimizer(model: CTRModel, data: PreparedData) -> None:
    """Raises UserError where a compiled model's optimiser would forget the vectors of rows that it trains."""
    trained = any(field.vector_width and not field.frozen for field in data.schema.fields)
    if trained and not getattr(model.embedding_optimizer, "keep_initial", True):
        raise UserError(
            "config.embedding_optimizer.keep_initial=False: the first update of a row would forget its pre-trained "
            "vector; set config.embedding_optimizer.keep_initial=True"
        )


def frozen_numbers(model: CTRModel) -> set[int]:
    """The identities of the variables with the numbers of frozen rows, which belong to the data, not to the weights."""
    layers = [layer for layer in all_layers(model) if isinstance(layer, FusedEmbedding)]
    return {id(layer.frozen) for layer in layers if layer.frozen_rows}
