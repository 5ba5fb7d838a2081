"""Wide & Deep: a linear model over levels and listed crosses, next to a deep network."""

from collections.abc import Sequence
from typing import Annotated, Any

import keras
import tensorflow as tf
from msgspec import Meta

from ada_ensemble_tf.arguments import ArgumentError, Count, CountOrZero, Normalization, Share, SomeCounts
from ada_ensemble_tf.layers.embedding import FusedEmbedding
from ada_ensemble_tf.layers.estimator import Estimator
from ada_ensemble_tf.layers.mlp import MLP
from ada_ensemble_tf.layers.precision import Activation, full_precision
from ada_ensemble_tf.models.base import CTRModel
from ada_ensemble_tf.models.forward import Forward
from data_pipelines.read.inputs import Inputs, ids_of

Crosses = Annotated[tuple[tuple[CountOrZero, ...], ...], Meta(description="be lists of fields' positions")]

# 2^64 divided by the golden ratio, as a signed number: Knuth's multiplicative hashing.
MULTIPLIER = 0x9E3779B97F4A7C15 - (1 << 64)


def cross_ids(ids: tf.Tensor, crosses: Sequence[Sequence[int]], buckets: int) -> tf.Tensor:
    """The hashed level of each cross of fields.

    Args:
        ids: `[B, C]` rows of the fused table.
        crosses: the columns of ids in each of X crosses.
        buckets: the number of levels of each cross.

    Returns:
        `[B, X]` int64, those of cross i in [i * buckets, (i + 1) * buckets).
    """
    ids, crossed = tf.cast(ids, tf.int64), []
    for i, columns in enumerate(crosses):
        mixed = tf.zeros_like(ids[:, 0])
        for column in columns:
            # The product wraps around. Its high bits depend on all bits of the id; they are mixed into the low ones.
            mixed = (mixed + ids[:, column] + 1) * MULTIPLIER
            mixed = tf.bitwise.bitwise_xor(mixed, tf.bitwise.right_shift(mixed, 32))
        crossed.append(mixed % buckets + i * buckets)
    return tf.stack(crossed, axis=1)


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class WideAndDeep(CTRModel):
    """w_wide . [x, phi(x)] + w_deep . MLP(x0) + b (Wide & Deep, arXiv 1606.07792, equation 3).

    x are the fields' levels. phi(x) are the listed cross products of equation 1, with one level for each combination of
    levels. There are too many combinations for a table, so each cross hashes them into `cross_buckets` buckets.

    Args:
        dimension: D, the size of an embedding.
        hidden_units, activation, normalization, dropout: for the dense layers; see `MLP`.
        crosses: the positions of each cross's fields; a field must have one column and no float.
        cross_buckets: the number of weights of each cross.
        **common: the arguments of all models, see `CTRModel`.

    Example:
        >>> model = WideAndDeep(
        ...     num_rows=4, num_fields=2, dimension=2, hidden_units=(4,), crosses=((0, 1),), cross_buckets=8
        ... )
        >>> model(tf.constant([[0, 1], [2, 3]])).shape
        TensorShape([2])
    """

    registered_name = "wide_and_deep"

    def __init__(
        self,
        *,
        dimension: Count = 16,
        hidden_units: SomeCounts = (400, 400, 400),
        activation: Activation = "relu",
        normalization: Normalization = "batch",
        dropout: Share = 0.0,
        crosses: Crosses = (),
        cross_buckets: Count = 1 << 16,
        **common: Any,
    ):
        super().__init__(**common)
        self.crosses = tuple(tuple(int(field) for field in cross) for cross in crosses)
        self.cross_buckets = cross_buckets
        self.level_weights = self.make_embedding(dimension=1, name="level_weights", initial_scale=0.0, exact=True)
        self.cross_columns = self._columns_of_crosses()
        self.cross_weights = None
        if self.crosses:
            rows = len(self.crosses) * cross_buckets
            self.cross_weights = FusedEmbedding(rows, 1, 0.0, dtype=full_precision(), name="cross_weights")
            self.cross_weights.build((None, len(self.crosses)))
        self.embedding = self.make_embedding(dimension, "embedding")
        self.mlp = MLP(hidden_units, activation, normalization, dropout, name="mlp")
        self.mlp.build((None, self.num_fields * dimension))
        self.estimator = Estimator(self.initial_logit, name="estimator")
        self.estimator.build((None, self.mlp.hidden_units[-1]))
        self.built = True

    def _columns_of_crosses(self) -> tuple[tuple[int, ...], ...]:
        widths = self.widths or (1,) * self.num_fields
        with_float = {field for field, _ in self.value_rows}
        usable = {field for field, width in enumerate(widths) if width == 1} - with_float
        for cross in self.crosses:
            if len(cross) < 2 or len(set(cross)) != len(cross) or not usable.issuperset(cross):
                requirement = f"each have two or more of the fields of one column without a float, {sorted(usable)}"
                raise ArgumentError("crosses", requirement, cross)
        return tuple(tuple(sum(widths[:field]) for field in cross) for cross in self.crosses)

    def forward(self, inputs: Inputs, training: bool = False) -> Forward:
        """Adds the logits of the two parts."""
        weights = self.level_weights(inputs)
        flops = self.level_weights.rows_read(inputs)
        if self.cross_weights is not None:
            crossed = cross_ids(ids_of(inputs), self.cross_columns, self.cross_buckets)
            weights = tf.concat([weights, self.cross_weights(crossed)], axis=1)
            flops += self.cross_weights.rows_read(crossed)
        x0 = self.embedding(inputs)
        hidden = self.mlp(x0, training=training)
        logit = tf.reduce_sum(tf.cast(weights, tf.float32), axis=1) + self.estimator(hidden)
        per_row = self.mlp.flops() + self.estimator.flops()
        return Forward(
            logit=logit,
            flops=flops + tf.cast(tf.shape(x0)[0], tf.float32) * per_row,
            tensors={
                "wide weights": weights,
                "embedding output x0": x0,
                "output of mlp": hidden,
                "logit": logit,
            },
        )
