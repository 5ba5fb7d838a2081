"""The plain deep network."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import Count, Normalization, Share, SomeCounts
from ada_ensemble_tf.layers.estimator import Estimator
from ada_ensemble_tf.layers.mlp import MLP
from ada_ensemble_tf.layers.precision import Activation
from ada_ensemble_tf.models.base import CTRModel
from ada_ensemble_tf.models.forward import Forward
from data_pipelines.read.inputs import Inputs


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class DNN(CTRModel):
    """w . MLP(x0) + b: implicit interactions only (DNN of AdaEnsemble, arXiv 2301.08353, table 1).

    It is the deep part of Wide & Deep (arXiv 1606.07792), equation 2. The papers have no batch normalisation, but
    without it small embeddings train slowly.

    Args:
        dimension: D, the size of an embedding.
        hidden_units, activation, normalization, dropout: for the dense layers; see `MLP`.
        **common: the arguments of all models, see `CTRModel`.

    Example:
        >>> model = DNN(num_rows=4, num_fields=2, dimension=2, hidden_units=(4,))
        >>> model(tf.constant([[0, 1], [2, 3]])).shape
        TensorShape([2])
    """

    registered_name = "dnn"

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
        self.embedding = self.make_embedding(dimension, "embedding")
        self.mlp = MLP(hidden_units, activation, normalization, dropout, name="mlp")
        self.mlp.build((None, self.num_fields * dimension))
        self.estimator = Estimator(self.initial_logit, name="estimator")
        self.estimator.build((None, self.mlp.hidden_units[-1]))
        self.built = True

    def forward(self, inputs: Inputs, training: bool = False) -> Forward:
        """Embeds the rows and runs them through the dense layers."""
        x0 = self.embedding(inputs)
        hidden = self.mlp(x0, training=training)
        logit = self.estimator(hidden)
        rows = tf.cast(tf.shape(x0)[0], tf.float32)
        return Forward(
            logit=logit,
            flops=rows * (self.mlp.flops() + self.estimator.flops()),
            tensors={"embedding output x0": x0, "output of mlp": hidden, "logit": logit},
        )
