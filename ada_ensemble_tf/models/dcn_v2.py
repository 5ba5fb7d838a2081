"""Deep & Cross Network V2, with matrix crosses."""

from typing import Any, Literal

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import Count, CountOrZero, Normalization, Share, SomeCounts
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
class MatrixCross(ShardableLayer):
    """x0 * (W x + b) + x (DCN V2, arXiv 2008.13535, equation 1); a rank r > 0 makes W = U V^T.

    Args:
        rank: r of U and V, `[M, r]`; 0 means a full W.

    Call arguments:
        x0, x: `[B, M]`.

    Returns:
        `[B, M]`.

    Example:
        >>> MatrixCross(rank=1)(tf.ones([2, 4]), tf.ones([2, 4])).shape
        TensorShape([2, 4])
    """

    def __init__(self, rank: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        if rank < 0:
            raise ValueError(f"rank must be positive, or 0 for full matrices; received {rank}")
        self.rank = rank

    def build(self, x0_shape: Shape, x_shape: Shape) -> None:
        shape, self.project = tuple(x_shape), None
        if self.rank:
            self.project = Dense(self.rank, use_bias=False, name="project")
            self.project.build(shape)
        self.dense = Dense(shape[-1], name="dense")
        self.dense.build((None, self.rank) if self.rank else shape)

    def call(self, x0: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        return x0 * self.dense(x if self.project is None else self.project(x)) + x

    def compute_output_shape(self, x0_shape: Shape, x_shape: Shape) -> Shape:
        return x_shape

    def flops(self) -> int:
        """Per row: W x, the bias, the product with x0 and the residual."""
        inner, width = self.dense.kernel.shape
        return 2 * inner * width * (2 if self.rank else 1) + 3 * width

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"rank": self.rank}


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class DCNV2(CTRModel):
    """Crosses x_{l+1} = x0 * (W_l x_l + b_l) + x_l and dense layers (DCN V2, arXiv 2008.13535, section 3).

    "stacked": w . MLP(x_L) + b. "parallel": w . [x_L, MLP(x0)] + b.

    Args:
        dimension: D, the size of an embedding.
        num_layers: L, the number of crosses.
        structure: how crosses and dense layers are combined, "stacked" or "parallel".
        rank: the rank of the crosses' matrices; 0 means full matrices.
        hidden_units, activation, normalization, dropout: for the dense layers; see `MLP`.
        embedding_normalization: normalisation of the embeddings: "batch", "layer" or "none". The paper has
            none, but crosses of a small x0 start close to nothing, and the other models here that multiply by x0 have
            it.
        **common: the arguments of all models, see `CTRModel`.

    Example:
        >>> model = DCNV2(num_rows=4, num_fields=2, dimension=2, hidden_units=(4,), rank=1)
        >>> model(tf.constant([[0, 1], [2, 3]])).shape
        TensorShape([2])
    """

    registered_name = "dcn_v2"

    def __init__(
        self,
        *,
        dimension: Count = 16,
        num_layers: Count = 3,
        structure: Literal["stacked", "parallel"] = "stacked",
        rank: CountOrZero = 0,
        hidden_units: SomeCounts = (400, 400, 400),
        activation: Activation = "relu",
        normalization: Normalization = "batch",
        dropout: Share = 0.0,
        embedding_normalization: Normalization = "batch",
        **common: Any,
    ):
        super().__init__(**common)
        self.structure = structure
        self.embedding = self.make_embedding(dimension, "embedding")
        shape = (None, self.num_fields * dimension)
        self.normalize = make_normalization(embedding_normalization, "normalize")
        self.normalize.build(shape)
        self.crosses = [MatrixCross(rank, name=f"cross_{i}") for i in range(1, num_layers + 1)]
        for cross in self.crosses:
            cross.build(shape, shape)
        self.mlp = MLP(hidden_units, activation, normalization, dropout, name="mlp")
        self.mlp.build(shape)
        self.estimator = Estimator(self.initial_logit, name="estimator")
        self.estimator.build((None, self.mlp.hidden_units[-1] + (shape[1] if structure == "parallel" else 0)))
        self.built = True

    def forward(self, inputs: Inputs, training: bool = False) -> Forward:
        """Runs the rows through crosses and dense layers, one after the other or side by side."""
        x = x0 = self.normalize(self.embedding(inputs), training=training)
        tensors = {"embedding output x0": x0}
        for cross in self.crosses:
            tensors[f"output of {cross.name}"] = x = cross(x0, x)
        parallel = self.structure == "parallel"
        tensors["output of mlp"] = hidden = self.mlp(x0 if parallel else x, training=training)
        tensors["logit"] = logit = self.estimator(tf.concat([x, hidden], axis=1) if parallel else hidden)
        per_row = sum(cross.flops() for cross in self.crosses) + self.mlp.flops() + self.estimator.flops()
        return Forward(logit=logit, flops=tf.cast(tf.shape(x0)[0], tf.float32) * per_row, tensors=tensors)
