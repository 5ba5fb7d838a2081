"""Clipping of gradients after they are summed: over replicas, and over the parts of repeated rows."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.devices.dense_shards import dense_shards_of
from ada_ensemble_tf.keras_private import ClippedSum, GradientsAndVariables
from ada_ensemble_tf.optimizers.dense_shards import SlotsOfWeights, summed_with_shards
from ada_ensemble_tf.optimizers.sharded import clipped_together
from ada_ensemble_tf.optimizers.sparse import sum_duplicates

CLIPPING = ("clipnorm", "clipvalue", "global_clipnorm")


def check_clipping(arguments: Mapping[str, Any]) -> None:
    """Raises ValueError for a clipping that is not positive."""
    for option in CLIPPING:
        if arguments.get(option) is not None and arguments[option] <= 0.0:
            raise ValueError(f"{option} must be positive, or None for no clipping; received {arguments[option]}")


def clipped(optimizer: keras.optimizers.Optimizer, gradients: GradientsAndVariables) -> GradientsAndVariables:
    """The gradients with each row once, clipped as the optimiser's options say."""
    values = [sum_duplicates(g) if isinstance(g, tf.IndexedSlices) else g for g, _ in gradients]
    # TensorFlow clips the values of IndexedSlices, which is correct now that each row appears once.
    if optimizer.clipnorm is not None:
        values = [tf.clip_by_norm(g, optimizer.clipnorm) for g in values]
    elif optimizer.clipvalue is not None:
        values = [tf.clip_by_value(g, -optimizer.clipvalue, optimizer.clipvalue) for g in values]
    elif optimizer.global_clipnorm is not None:
        values, _ = tf.clip_by_global_norm(values, optimizer.global_clipnorm)
    return [(g, variable) for g, (_, variable) in zip(values, gradients, strict=True)]


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class ClippedAdam(SlotsOfWeights, ClippedSum, keras.optimizers.Adam):
    """Keras' Adam whose clipping also works for embedding tables and for several replicas.

    Keras takes norms of row-sparse gradients before the parts of repeated rows are summed, and on each replica alone.

    Args:
        learning_rate: a float or a Keras schedule.
        name: the optimiser's name.
        **kwargs: the other arguments of Keras' Adam.

    Raises:
        ValueError: for a clipping that is not positive.

    Example:
        >>> table = keras.Variable(tf.zeros([3, 1]))
        >>> gradient = tf.IndexedSlices(tf.ones([2, 1]), indices=tf.constant([1, 1]), dense_shape=tf.constant([3, 1]))
        >>> ClippedAdam(0.1, global_clipnorm=1.0).apply([gradient], [table])
        >>> table.numpy().round(3).ravel()
        array([ 0. , -0.1,  0. ], dtype=float32)
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.001,
        name: str = "adam",
        **kwargs: Any,
    ):
        check_clipping(kwargs)
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)

    def summed(self, gradients: GradientsAndVariables) -> GradientsAndVariables:
        shards = [dense_shards_of(self.variable_of(variable)) for _, variable in gradients]
        return summed_with_shards(gradients, shards, super().summed) if any(shards) else super().summed(gradients)

    def clipped(self, gradients: GradientsAndVariables) -> GradientsAndVariables:
        shards = [dense_shards_of(self.variable_of(variable)) for _, variable in gradients]
        if not any(shards):
            return clipped(self, gradients)
        values = clipped_together(self, [once for once, _ in gradients], shards)
        return [(g, variable) for g, (_, variable) in zip(values, gradients, strict=True)]

    def add_variable_from_reference(
        self, reference_variable: keras.Variable, name: str | None = None, initializer: Any = "zeros"
    ) -> keras.Variable:
        if (shards := dense_shards_of(reference_variable)) is None:
            return super().add_variable_from_reference(reference_variable, name=name, initializer=initializer)
        # The names that Keras gives.
        full_name = f"{reference_variable.path.replace('/', '_')}_{name or 'var'}"
        return self.slot_of_weight(shards, full_name, reference_variable.dtype, initializer)
