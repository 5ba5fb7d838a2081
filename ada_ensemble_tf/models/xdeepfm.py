"""xDeepFM: a compressed interaction network, a deep network and a linear part on one embedding."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import Count, Normalization, Share, SomeCounts
from ada_ensemble_tf.layers.cin import CompressedInteractionNetwork
from ada_ensemble_tf.layers.estimator import Estimator
from ada_ensemble_tf.layers.mlp import MLP
from ada_ensemble_tf.layers.normalization import make_normalization
from ada_ensemble_tf.layers.precision import Activation
from ada_ensemble_tf.models.base import CTRModel
from ada_ensemble_tf.models.forward import Forward
from data_pipelines.read.inputs import Inputs


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class XDeepFM(CTRModel):
    """sum_i w_i + w . [CIN(x0), MLP(x0)] + b (xDeepFM, arXiv 1803.05170, equation 9).

    The linear weights w_i have their own table of size 1; a field with several values has the mean of theirs.

    Args:
        dimension: D, the size of an embedding.
        feature_maps: the sizes of the layers of the compressed interaction network.
        hidden_units, activation, normalization, dropout: for the dense layers; see `MLP`.
        embedding_normalization: normalisation of the embeddings: "batch", "layer" or "none". The paper has
            none, but a product of several small embeddings starts close to nothing.
        **common: the arguments of all models, see `CTRModel`.

    Example:
        >>> model = XDeepFM(num_rows=4, num_fields=2, dimension=2, hidden_units=(4,), feature_maps=(3,))
        >>> model(tf.constant([[0, 1], [2, 3]])).shape
        TensorShape([2])
    """

    registered_name = "xdeepfm"

    def __init__(
        self,
        *,
        dimension: Count = 16,
        feature_maps: SomeCounts = (128, 128),
        hidden_units: SomeCounts = (400, 400, 400),
        activation: Activation = "relu",
        normalization: Normalization = "batch",
        dropout: Share = 0.0,
        embedding_normalization: Normalization = "batch",
        **common: Any,
    ):
        super().__init__(**common)
        self.level_weights = self.make_embedding(dimension=1, name="level_weights", initial_scale=0.0, exact=True)
        self.embedding = self.make_embedding(dimension, "embedding")
        shape = (None, self.num_fields * dimension)
        self.normalize = make_normalization(embedding_normalization, "normalize")
        self.normalize.build(shape)
        self.cin = CompressedInteractionNetwork(self.num_fields, feature_maps, name="cin")
        self.cin.build(shape)
        self.mlp = MLP(hidden_units, activation, normalization, dropout, name="mlp")
        self.mlp.build(shape)
        self.estimator = Estimator(self.initial_logit, name="estimator")
        self.estimator.build((None, sum(self.cin.feature_maps) + self.mlp.hidden_units[-1]))
        self.built = True

    def forward(self, inputs: Inputs, training: bool = False) -> Forward:
        """Adds the logits of the three parts."""
        weights = self.level_weights(inputs)
        x0 = self.normalize(self.embedding(inputs), training=training)
        interactions = self.cin(x0)
        hidden = self.mlp(x0, training=training)
        linear = tf.reduce_sum(tf.cast(weights, tf.float32), axis=1)
        logit = linear + self.estimator(tf.concat([interactions, hidden], axis=1))
        per_row = self.cin.flops() + self.mlp.flops() + self.estimator.flops()
        return Forward(
            logit=logit,
            flops=self.level_weights.rows_read(inputs) + tf.cast(tf.shape(x0)[0], tf.float32) * per_row,
            tensors={
                "level weights": weights,
                "embedding output x0": x0,
                "output of cin": interactions,
                "output of mlp": hidden,
                "logit": logit,
            },
        )
