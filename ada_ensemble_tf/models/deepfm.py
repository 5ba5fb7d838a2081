"""DeepFM: a factorisation machine and a deep network on one embedding."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import Count, Normalization, Share, SomeCounts
from ada_ensemble_tf.layers.estimator import Estimator
from ada_ensemble_tf.layers.mlp import MLP
from ada_ensemble_tf.layers.precision import Activation
from ada_ensemble_tf.models.base import CTRModel
from ada_ensemble_tf.models.factorization_machine import pairwise_flops, pairwise_term
from ada_ensemble_tf.models.forward import Forward
from data_pipelines.read.inputs import Inputs


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class DeepFM(CTRModel):
    """y_FM + y_DNN (DeepFM, arXiv 1703.04247, equation 1), with y_FM of equation 2 and y_DNN of equation 4.

    y_FM = sum_i w_i + sum_{i<j} <v_i, v_j>, y_DNN = w . MLP(x0) + b, where x0 is the concatenation of the same v.

    Args:
        dimension: D, the size of an embedding.
        hidden_units, activation, normalization, dropout: for the dense layers; see `MLP`.
        **common: the arguments of all models, see `CTRModel`.

    Example:
        >>> model = DeepFM(num_rows=4, num_fields=2, dimension=2, hidden_units=(4,))
        >>> model(tf.constant([[0, 1], [2, 3]])).shape
        TensorShape([2])
    """

    registered_name = "deepfm"

    def __init__(
        self,
        *,
        dimension: Count = 16,
        hidden_units: SomeCounts = (400, 400, 400),
        activation: Activation = "relu",
        normalization: Normalization = "batch",
        dropout: Share = 0.0,
        **common: Any,
    ):
        super().__init__(**common)
        self.dimension = dimension
        self.level_weights = self.make_embedding(dimension=1, name="level_weights", initial_scale=0.0, exact=True)
        self.embedding = self.make_embedding(dimension, "embedding", exact=True)
        self.mlp = MLP(hidden_units, activation, normalization, dropout, name="mlp")
        self.mlp.build((None, self.num_fields * dimension))
        self.estimator = Estimator(self.initial_logit, name="estimator")
        self.estimator.build((None, self.mlp.hidden_units[-1]))
        self.built = True

    def forward(self, inputs: Inputs, training: bool = False) -> Forward:
        """Adds the logits of the two parts."""
        weights = self.level_weights(inputs)
        x0 = self.embedding(inputs)
        pairwise = pairwise_term(x0, self.num_fields)
        hidden = self.mlp(x0, training=training)
        logit = tf.reduce_sum(tf.cast(weights, tf.float32), axis=1) + pairwise + self.estimator(hidden)
        per_row = pairwise_flops(self.num_fields, self.dimension) + self.mlp.flops() + self.estimator.flops()
        return Forward(
            logit=logit,
            flops=self.level_weights.rows_read(inputs) + tf.cast(tf.shape(x0)[0], tf.float32) * per_row,
            tensors={
                "level weights": weights,
                "embedding output x0": x0,
                "pairwise term": pairwise,
                "output of mlp": hidden,
                "logit": logit,
            },
        )
