"""Deep & Cross Network with vector crosses."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import Count, Normalization, Share, SomeCounts
from ada_ensemble_tf.layers.estimator import Estimator
from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.layers.mlp import MLP
from ada_ensemble_tf.layers.normalization import make_normalization
from ada_ensemble_tf.layers.precision import Activation
from ada_ensemble_tf.models.base import CTRModel
from ada_ensemble_tf.models.forward import Forward
from data_pipelines.read.inputs import Inputs


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class VectorCross(keras.layers.Layer):
    """x0 (x . w) + b + x (DCN, arXiv 1708.05123, equation 3).

    Call arguments:
        x0, x: `[B, M]`.

    Returns:
        `[B, M]`.

    Example:
        >>> VectorCross()(tf.ones([2, 4]), tf.ones([2, 4])).shape
        TensorShape([2, 4])
    """

    def build(self, x0_shape: Shape, x_shape: Shape) -> None:
        self.kernel = self.add_weight(name="kernel", shape=(x_shape[-1], 1), initializer="glorot_uniform")
        self.bias = self.add_weight(name="bias", shape=(x_shape[-1],), initializer="zeros")

    def call(self, x0: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        return x0 * tf.matmul(x, tf.convert_to_tensor(self.kernel)) + self.bias + x

    def compute_output_shape(self, x0_shape: Shape, x_shape: Shape) -> Shape:
        return x_shape

    def flops(self) -> int:
        """Per row: x . w, the product with x0, the bias and the residual."""
        return 5 * self.kernel.shape[0]


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class DCN(CTRModel):
    """w . [x_L, MLP(x0)] + b with x_{l+1} = x0 (x_l . w_l) + b_l + x_l (DCN, arXiv 1708.05123, equations 3 to 5).

    Args:
        dimension: D, the size of an embedding.
        num_layers: L, the number of crosses.
        hidden_units, activation, normalization, dropout: for the dense layers; see `MLP`. The paper uses batch
            normalisation.
        embedding_normalization: normalisation of the embeddings: "batch", "layer" or "none". The paper has
            none, but crosses of a small x0 start close to nothing, and the other models here that multiply by x0 have
            it.
        **common: the arguments of all models, see `CTRModel`.

    Example:
        >>> model = DCN(num_rows=4, num_fields=2, dimension=2, hidden_units=(4,))
        >>> model(tf.constant([[0, 1], [2, 3]])).shape
        TensorShape([2])
    """

    registered_name = "dcn"

    def __init__(
        self,
        *,
        dimension: Count = 16,
        num_layers: Count = 3,
        hidden_units: SomeCounts = (400, 400, 400),
        activation: Activation = "relu",
        normalization: Normalization = "batch",
        dropout: Share = 0.0,
        embedding_normalization: Normalization = "batch",
        **common: Any,
    ):
        super().__init__(**common)
        self.embedding = self.make_embedding(dimension, "embedding")
        shape = (None, self.num_fields * dimension)
        self.normalize = make_normalization(embedding_normalization, "normalize")
        self.normalize.build(shape)
        self.crosses = [VectorCross(name=f"cross_{i}") for i in range(1, num_layers + 1)]
        for cross in self.crosses:
            cross.build(shape, shape)
        self.mlp = MLP(hidden_units, activation, normalization, dropout, name="mlp")
        self.mlp.build(shape)
        self.estimator = Estimator(self.initial_logit, name="estimator")
        self.estimator.build((None, shape[1] + self.mlp.hidden_units[-1]))
        self.built = True

    def forward(self, inputs: Inputs, training: bool = False) -> Forward:
        """Runs the rows through crosses and dense layers in parallel."""
        x = x0 = self.normalize(self.embedding(inputs), training=training)
        tensors = {"embedding output x0": x0}
        for cross in self.crosses:
            tensors[f"output of {cross.name}"] = x = cross(x0, x)
        tensors["output of mlp"] = hidden = self.mlp(x0, training=training)
        tensors["logit"] = logit = self.estimator(tf.concat([x, hidden], axis=1))
        per_row = sum(cross.flops() for cross in self.crosses) + self.mlp.flops() + self.estimator.flops()
        return Forward(logit=logit, flops=tf.cast(tf.shape(x0)[0], tf.float32) * per_row, tensors=tensors)
