"""A small AdaEnsemble and rows for it."""

import keras
import tensorflow as tf
from published_layers import PUBLISHED_LAYERS

from ada_ensemble_tf.models import AdaEnsemble
from ada_ensemble_tf.optimizers import GroupFtrl

FIELDS, ROWS = 10, 60
RELEASED = ("gated_dense", "cross", "polynomial", "convolution", "attention")


def small_model(**arguments) -> AdaEnsemble:
    """A model of three layers of three experts, otherwise the paper's, always with the same weights."""
    keras.utils.set_random_seed(3)
    defaults = {"num_rows": ROWS, "num_fields": FIELDS, "dimension": 4, "num_layers": 3, "gate": {"reduction": 2}}
    defaults = PUBLISHED_LAYERS | defaults | {"experts": ("dense", "cross", "polynomial"), "k": 2}
    model = AdaEnsemble(**(defaults | arguments))
    # Embeddings far enough apart that rows route differently.
    model.embedding.table.assign(tf.random.stateless_normal([model.num_rows, model.dimension], [7, 7]))
    return model


def some_ids(batch: int = 32, fields: int = FIELDS, rows: int = ROWS) -> tf.Tensor:
    """`[batch, fields]`, always the same."""
    return tf.random.stateless_uniform([batch, fields], [1, 2], 0, rows, tf.int32)


def some_labels(batch: int = 32) -> tf.Tensor:
    """`[batch]` of 0 and 1, always the same."""
    return tf.cast(tf.random.stateless_uniform([batch], [3, 4]) < 0.3, tf.float32)


def compile_model(model: AdaEnsemble) -> None:
    """Compiles the model with an optimiser for each kind of variable."""
    model.compile(GroupFtrl(), keras.optimizers.Adam(1e-2), keras.optimizers.Adam(1e-2))
