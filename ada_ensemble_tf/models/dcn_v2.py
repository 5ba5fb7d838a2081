"""Deep & Cross Network V2, with matrix crosses."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.estimator import Estimator
from ada_ensemble_tf.layers.mlp import MLP
from ada_ensemble_tf.layers.normalization import make_normalization
from ada_ensemble_tf.models.base import CTRModel, Forward

STRUCTURES = ("stacked", "parallel")


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class MatrixCross(keras.layers.Layer):
    """x0 * (W x + b) + x (DCN V2, arXiv 2008.13535, equation 1); with a rank r > 0, its low-rank W = U V^T.

    Args:
        rank: r of U and V, `[M, r]`; 0 is a full W.

    Call arguments:
        x0, x: `[B, M]`.

    Returns:
        `[B, M]`.
    """

    def __init__(self, rank: int = 0, **kwargs):
        super().__init__(**kwargs)
        if rank < 0:
            raise ValueError(f"rank must be positive, or 0 for full matrices; received {rank}")
        self.rank = rank

    def build(self, x0_shape, x_shape):
        shape, self.project = tuple(x_shape), None
        if self.rank:
            self.project = Dense(self.rank, use_bias=False, name="project")
            self.project.build(shape)
        self.dense = Dense(shape[-1], name="dense")
        self.dense.build((None, self.rank) if self.rank else shape)

    def call(self, x0, x):
        return x0 * self.dense(x if self.project is None else self.project(x)) + x

    def compute_output_shape(self, x0_shape, x_shape):
        return x_shape

    def flops(self) -> int:
        """Per row: W x, the bias, the product with x0 and the residual."""
        inner, width = self.dense.kernel.shape
        return 2 * inner * width * (2 if self.rank else 1) + 3 * width

    def get_config(self):
        return super().get_config() | {"rank": self.rank}


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class DCNV2(CTRModel):
    """Crosses x_{l+1} = x0 * (W_l x_l + b_l) + x_l and dense layers (DCN V2, arXiv 2008.13535, section 3).

    "stacked": w . MLP(x_L) + b. "parallel": w . [x_L, MLP(x0)] + b.

    Args:
        num_rows, num_fields, widths, value_rows: what is read, see `CTRModel`.
        dimension: D.
        num_layers: L, of crosses.
        structure: how crosses and dense layers are combined, "stacked" or "parallel".
        rank: of the crosses' matrices; 0 is full.
        hidden_units, activation, normalization, dropout: of the dense layers, see `MLP`.
        embedding_normalization: of the embeddings: "batch", "layer" or "none". The paper has none, but crosses of
            small x0 start out as nothing, and the other models of this zoo that multiply by x0 have it.
        l2: coefficient of the sum of squares of all dense kernels.
        initial_logit: initial bias of the estimator; the log-odds of the base rate is a good one.

    Raises:
        ValueError: for arguments out of range, named in the message.
    """

    def __init__(
        self,
        num_rows: int,
        num_fields: int,
        widths: Sequence[int] | None = None,
        value_rows: Sequence[tuple[int, int]] = (),
        dimension: int = 16,
        num_layers: int = 3,
        structure: str = "stacked",
        rank: int = 0,
        hidden_units: Sequence[int] = (400, 400, 400),
        activation: str = "relu",
        normalization: str = "batch",
        dropout: float = 0.0,
        embedding_normalization: str = "batch",
        l2: float = 0.0,
        initial_logit: float = 0.0,
        name: str = "dcn_v2",
    ):
        super().__init__(num_rows, num_fields, widths, value_rows, l2, name=name)
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1; received {num_layers}")
        if structure not in STRUCTURES:
            raise ValueError(f"structure must be one of {STRUCTURES}; received {structure!r}")
        self.dimension = dimension
        self.num_layers = num_layers
        self.structure = structure
        self.rank = rank
        self.embedding_normalization = embedding_normalization
        self.initial_logit = initial_logit
        self.embedding = self.make_embedding(dimension, "embedding")
        shape = (None, num_fields * dimension)
        self.normalize = make_normalization(embedding_normalization, "normalize")
        self.normalize.build(shape)
        self.crosses = [MatrixCross(rank, name=f"cross_{i}") for i in range(1, num_layers + 1)]
        for cross in self.crosses:
            cross.build(shape, shape)
        self.mlp = MLP(hidden_units, activation, normalization, dropout, name="mlp")
        self.mlp.build(shape)
        self.estimator = Estimator(initial_logit, name="estimator")
        self.estimator.build((None, self.mlp.hidden_units[-1] + (shape[1] if structure == "parallel" else 0)))
        self.built = True

    def forward(self, inputs, training=False) -> Forward:
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

    def get_config(self):
        return super().get_config() | {
            "dimension": self.dimension,
            "num_layers": self.num_layers,
            "structure": self.structure,
            "rank": self.rank,
            **self.mlp.arguments(),
            "embedding_normalization": self.embedding_normalization,
            "initial_logit": self.initial_logit,
        }
