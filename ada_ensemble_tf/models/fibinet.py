"""FiBiNET: weighted fields, bilinear interactions and a deep network."""

from typing import Any, Literal

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import Count, Normalization, Share, SomeCounts
from ada_ensemble_tf.layers.bilinear_interaction import BilinearInteraction
from ada_ensemble_tf.layers.estimator import Estimator
from ada_ensemble_tf.layers.mlp import MLP
from ada_ensemble_tf.layers.normalization import make_normalization
from ada_ensemble_tf.layers.precision import Activation
from ada_ensemble_tf.layers.squeeze_excitation import SqueezeExcitation
from ada_ensemble_tf.models.base import CTRModel
from ada_ensemble_tf.models.forward import Forward
from data_pipelines.read.inputs import Inputs


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class FiBiNET(CTRModel):
    """sum_i w_i + w . MLP([p, q]) + b (FiBiNET, arXiv 1905.09433, the deep model of section 3).

    p are the bilinear interactions of the embeddings. q are those of the embeddings weighted by squeeze-and-excitation,
    with separate matrices. The linear weights w_i have their own table of size 1; a field with several values has
    the mean of theirs.

    Args:
        dimension: D, the size of an embedding.
        reduction: the factor by which the squeeze-and-excitation reduces the number of fields.
        bilinear: the matrices: one for "all" fields, one for "each" field or one per "interaction"; see
            `BilinearInteraction`.
        hidden_units, activation, normalization, dropout: for the dense layers; see `MLP`.
        embedding_normalization: normalisation of the embeddings: "batch", "layer" or "none". The paper has
            none, but the dense layers see only products, and products of small embeddings start close to nothing.
        **common: the arguments of all models, see `CTRModel`.

    Example:
        >>> model = FiBiNET(num_rows=4, num_fields=2, dimension=2, hidden_units=(4,))
        >>> model(tf.constant([[0, 1], [2, 3]])).shape
        TensorShape([2])
    """

    registered_name = "fibinet"

    def __init__(
        self,
        *,
        dimension: Count = 16,
        reduction: Count = 3,
        bilinear: Literal["all", "each", "interaction"] = "interaction",
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
        self.squeeze_excitation = SqueezeExcitation(self.num_fields, reduction, name="squeeze_excitation")
        self.squeeze_excitation.build(shape)
        self.bilinear = BilinearInteraction(self.num_fields, bilinear, name="bilinear")
        self.bilinear.build(shape)
        self.weighted_bilinear = BilinearInteraction(self.num_fields, bilinear, name="weighted_bilinear")
        self.weighted_bilinear.build(shape)
        self.mlp = MLP(hidden_units, activation, normalization, dropout, name="mlp")
        self.mlp.build((None, 2 * self.bilinear.compute_output_shape(shape)[1]))
        self.estimator = Estimator(self.initial_logit, name="estimator")
        self.estimator.build((None, self.mlp.hidden_units[-1]))
        self.built = True

    def forward(self, inputs: Inputs, training: bool = False) -> Forward:
        """Adds the linear part and the dense layers' logit of both branches' interactions."""
        weights = self.level_weights(inputs)
        x0 = self.normalize(self.embedding(inputs), training=training)
        weighted = self.squeeze_excitation(x0)
        pairs, weighted_pairs = self.bilinear(x0), self.weighted_bilinear(weighted)
        hidden = self.mlp(tf.concat([pairs, weighted_pairs], axis=1), training=training)
        logit = tf.reduce_sum(tf.cast(weights, tf.float32), axis=1) + self.estimator(hidden)
        layers = (self.squeeze_excitation, self.bilinear, self.weighted_bilinear, self.mlp, self.estimator)
        per_row = sum(layer.flops() for layer in layers)
        return Forward(
            logit=logit,
            flops=self.level_weights.rows_read(inputs) + tf.cast(tf.shape(x0)[0], tf.float32) * per_row,
            tensors={
                "level weights": weights,
                "embedding output x0": x0,
                "output of squeeze_excitation": weighted,
                "output of bilinear": pairs,
                "output of weighted_bilinear": weighted_pairs,
                "output of mlp": hidden,
                "logit": logit,
            },
        )
