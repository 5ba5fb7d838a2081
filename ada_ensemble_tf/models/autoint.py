"""AutoInt: stacked self-attention over the fields."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import ArgumentError, Count, Counts, Normalization, Share
from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.estimator import Estimator
from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.layers.mlp import MLP
from ada_ensemble_tf.layers.normalization import make_normalization
from ada_ensemble_tf.layers.precision import Activation
from ada_ensemble_tf.layers.sharded_layer import ShardableLayer
from ada_ensemble_tf.models.base import CTRModel
from ada_ensemble_tf.models.forward import Forward
from data_pipelines.read.inputs import Inputs


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class InteractingLayer(ShardableLayer):
    """relu([head_1, .., head_H] + e W_res), where head_h = softmax((e W_q)(e W_k)^T) e W_v has its own matrices.

    AutoInt (arXiv 1810.11921), section on the interacting layer. The products have no bias. The residual is
    always projected, even if the sizes would allow an identity.

    Args:
        attention_size: A, the width of queries, keys and values over all heads, and of the output.
        heads: H, the number of heads.
        scaled: whether scores are divided by sqrt(A / H); the paper's are not.

    Call arguments:
        fields: `[B, F, X]`, B may be 0.

    Returns:
        `[B, F, A]`.

    Raises:
        ValueError: if the heads do not divide A.

    Example:
        >>> InteractingLayer(attention_size=4)(tf.ones([1, 3, 2])).shape
        TensorShape([1, 3, 4])
    """

    def __init__(self, attention_size: int = 64, heads: int = 2, scaled: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        if attention_size < 1 or heads < 1 or attention_size % heads:
            raise ValueError(
                f"attention_size must be a positive multiple of heads; "
                f"received attention_size={attention_size} and heads={heads}"
            )
        self.attention_size = attention_size
        self.heads = heads
        self.scaled = scaled
        self.query, self.key, self.value, self.residual = (
            Dense(attention_size, use_bias=False, name=name) for name in ("query", "key", "value", "residual")
        )

    def build(self, fields_shape: Shape) -> None:
        self.num_fields, self.dimension = fields_shape[1:]
        for dense in (self.query, self.key, self.value, self.residual):
            dense.build(fields_shape)

    def _by_head(self, projected: tf.Tensor) -> tf.Tensor:
        """Turns `[B, F, A]` into `[B, H, F, A / H]`."""
        split = tf.reshape(projected, [-1, self.num_fields, self.heads, self.attention_size // self.heads])
        return tf.transpose(split, [0, 2, 1, 3])

    def call(self, fields: tf.Tensor) -> tf.Tensor:
        query, key, value = (self._by_head(dense(fields)) for dense in (self.query, self.key, self.value))
        if self.scaled:
            # Dividing the scores would take more divisions.
            query /= (self.attention_size // self.heads) ** 0.5
        heads = tf.matmul(tf.nn.softmax(tf.matmul(query, key, transpose_b=True)), value)
        together = tf.reshape(tf.transpose(heads, [0, 2, 1, 3]), [-1, self.num_fields, self.attention_size])
        return tf.nn.relu(together + self.residual(fields))

    def compute_output_shape(self, fields_shape: Shape) -> Shape:
        return (*fields_shape[:2], self.attention_size)

    def flops(self) -> int:
        """Per row: the four projections, and the scores and weighted sums of all heads."""
        projections = 4 * self.num_fields * self.dimension * self.attention_size
        return 2 * (projections + 2 * self.num_fields**2 * self.attention_size)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "attention_size": self.attention_size,
            "heads": self.heads,
            "scaled": self.scaled,
        }


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class AutoInt(CTRModel):
    """w . [interacting layers over the fields of x0] + b (AutoInt, arXiv 1810.11921, section 4).

    With dense layers it is the paper's AutoInt+, w . [interacting layers, MLP(x0)] + b, which sums both logits.

    Args:
        dimension: D, the size of an embedding.
        num_layers: L, the number of interacting layers.
        heads: the number of heads in each layer.
        attention_size: the width of each layer over all its heads; 64 is the paper's 32 for each of 2 heads.
        scaled: whether attention scores are divided by the square root of a head's size; the paper's are not.
        hidden_units: the sizes of the dense layers parallel to the interacting ones; empty for none.
        activation, normalization, dropout: for those dense layers; see `MLP`.
        embedding_normalization: normalisation of the embeddings: "batch", "layer" or "none". The paper has
            none, but small embeddings make all scores equal, so nothing is attended to.
        **common: the arguments of all models, see `CTRModel`.

    Example:
        >>> model = AutoInt(num_rows=4, num_fields=2, dimension=2, num_layers=1, attention_size=4)
        >>> model(tf.constant([[0, 1], [2, 3]])).shape
        TensorShape([2])
    """

    registered_name = "autoint"

    def __init__(
        self,
        *,
        dimension: Count = 16,
        num_layers: Count = 3,
        heads: Count = 2,
        attention_size: Count = 64,
        scaled: bool = False,
        hidden_units: Counts = (),
        activation: Activation = "relu",
        normalization: Normalization = "batch",
        dropout: Share = 0.0,
        embedding_normalization: Normalization = "batch",
        **common: Any,
    ):
        super().__init__(**common)
        if attention_size % heads:
            raise ArgumentError("attention_size", f"be a multiple of heads={heads}", attention_size)
        self.dimension = dimension
        self.embedding = self.make_embedding(dimension, "embedding")
        self.normalize = make_normalization(embedding_normalization, "normalize")
        self.normalize.build((None, self.num_fields * dimension))
        layers = range(1, num_layers + 1)
        self.interactions = [InteractingLayer(attention_size, heads, scaled, name=f"interaction_{i}") for i in layers]
        shape: Shape = (None, self.num_fields, dimension)
        for layer in self.interactions:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        width = self.num_fields * attention_size
        self.mlp = None
        if hidden_units:
            self.mlp = MLP(hidden_units, activation, normalization, dropout, name="mlp")
            self.mlp.build((None, self.num_fields * dimension))
            width += self.mlp.hidden_units[-1]
        self.estimator = Estimator(self.initial_logit, name="estimator")
        self.estimator.build((None, width))
        self.built = True

    def forward(self, inputs: Inputs, training: bool = False) -> Forward:
        """Runs the rows' fields through the interacting layers and, in parallel, through the dense ones if any."""
        x0 = self.normalize(self.embedding(inputs), training=training)
        tensors = {"embedding output x0": x0}
        fields = tf.reshape(x0, [-1, self.num_fields, self.dimension])
        for layer in self.interactions:
            tensors[f"output of {layer.name}"] = fields = layer(fields)
        features = tf.reshape(fields, [-1, self.num_fields * self.interactions[-1].attention_size])
        per_row = sum(layer.flops() for layer in self.interactions) + self.estimator.flops()
        if self.mlp is not None:
            tensors["output of mlp"] = hidden = self.mlp(x0, training=training)
            features = tf.concat([features, hidden], axis=1)
            per_row += self.mlp.flops()
        tensors["logit"] = logit = self.estimator(features)
        return Forward(logit=logit, flops=tf.cast(tf.shape(x0)[0], tf.float32) * per_row, tensors=tensors)
