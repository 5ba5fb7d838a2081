"""Deep Crossing: a stack of residual units."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import Count, Normalization, Share, SomeCounts
from ada_ensemble_tf.layers.estimator import Estimator
from ada_ensemble_tf.layers.residual_unit import ResidualUnit
from ada_ensemble_tf.models.base import CTRModel
from ada_ensemble_tf.models.forward import Forward
from data_pipelines.read.inputs import Inputs


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class DeepCrossing(CTRModel):
    """w . x_L + b after L residual units over relu(embedding + b_0).

    Shan et al., "Deep Crossing", KDD 2016: equation 1 is the rectified embedding, equation 2 stacks it. The paper
    has no batch normalisation in the units, but without it small embeddings train slowly.

    Args:
        dimension: D, the size of an embedding.
        hidden_units: the inner sizes of the L residual units.
        normalization, dropout: for the residual units; see `ResidualUnit`.
        **common: the arguments of all models, see `CTRModel`.

    Example:
        >>> model = DeepCrossing(num_rows=4, num_fields=2, dimension=2, hidden_units=(4,))
        >>> model(tf.constant([[0, 1], [2, 3]])).shape
        TensorShape([2])
    """

    registered_name = "deep_crossing"

    def __init__(
        self,
        *,
        dimension: Count = 16,
        hidden_units: SomeCounts = (400, 400, 400),
        normalization: Normalization = "batch",
        dropout: Share = 0.0,
        **common: Any,
    ):
        super().__init__(**common)
        self.embedding = self.make_embedding(dimension, "embedding")
        shape = (None, self.num_fields * dimension)
        self.embedding_bias = self.add_weight(
            name="embedding_bias", shape=shape[1:], initializer="zeros", autocast=False
        )
        self.units = []
        for i, units in enumerate(hidden_units, 1):
            self.units.append(ResidualUnit(units, normalization, dropout, name=f"unit_{i}"))
            self.units[-1].build(shape)
        self.estimator = Estimator(self.initial_logit, name="estimator")
        self.estimator.build(shape)
        self.built = True

    def forward(self, inputs: Inputs, training: bool = False) -> Forward:
        """Embeds the rows and runs them through the residual units."""
        embedded = self.embedding(inputs)
        x = tf.nn.relu(embedded + tf.cast(tf.convert_to_tensor(self.embedding_bias), embedded.dtype))
        tensors = {"embedding output": embedded, "rectified embedding x0": x}
        for unit in self.units:
            tensors[f"output of {unit.name}"] = x = unit(x, training=training)
        tensors["logit"] = logit = self.estimator(x)
        per_row = x.shape[1] + sum(unit.flops() for unit in self.units) + self.estimator.flops()
        return Forward(logit=logit, flops=tf.cast(tf.shape(x)[0], tf.float32) * per_row, tensors=tensors)
