"""A stack of one kind of expert."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from ada_ensemble_tf.experts import make_expert
from ada_ensemble_tf.layers.dropout import make_dropout
from ada_ensemble_tf.layers.estimator import Estimator
from ada_ensemble_tf.layers.normalization import make_normalization
from ada_ensemble_tf.layers.precision import upcast
from ada_ensemble_tf.models.base import CTRModel, Forward


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class SingleExpert(CTRModel):
    """x_{l+1} = Norm(x_l + E_l(x0, x_l)), then w . x_L + b: the "expert only" rows of AdaEnsemble's table 2.

    AdaEnsemble (arXiv 2301.08353), section 4.3, with one expert a layer. The paper's FLOPs have a gate a layer, which
    over one expert is the constant 1; here there is none.

    Args:
        num_rows, num_fields, widths, value_rows: what is read, see `CTRModel`.
        dimension: D.
        num_layers: L.
        expert: name of the expert, see `ada_ensemble_tf.experts.EXPERTS`.
        normalization: of each layer's output: "batch", "layer" or "none".
        embedding_normalization: likewise, of the embeddings; the multiplicative experts need an x0 of unit scale.
        dropout: share of the experts' inputs that training sets to 0; the residual reads all.
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
        num_layers: int = 4,
        expert: str = "cross",
        normalization: str = "batch",
        embedding_normalization: str = "batch",
        dropout: float = 0.0,
        l2: float = 0.0,
        initial_logit: float = 0.0,
        name: str = "single_expert",
    ):
        super().__init__(num_rows, num_fields, widths, value_rows, l2, name=name)
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1; received {num_layers}")
        self.dimension = dimension
        self.num_layers = num_layers
        self.expert = expert
        self.normalization = normalization
        self.embedding_normalization = embedding_normalization
        self.dropout = dropout
        self.drop = make_dropout(dropout)
        self.initial_logit = initial_logit
        self.embedding = self.make_embedding(dimension, "embedding")
        shape = (None, num_fields * dimension)
        self.normalize = make_normalization(embedding_normalization, "normalize")
        self.normalize.build(shape)
        self.experts, self.norms = [], []
        for depth in range(1, num_layers + 1):
            self.experts.append(make_expert(expert, num_fields, f"{expert}_{depth}"))
            self.experts[-1].build(shape, shape)
            self.norms.append(make_normalization(normalization, f"normalize_{depth}"))
            self.norms[-1].build(shape)
        self.estimator = Estimator(initial_logit, name="estimator")
        self.estimator.build(shape)
        self.built = True

    def forward(self, inputs, training=False) -> Forward:
        """Runs the rows through all layers."""
        x = x0 = self.normalize(self.embedding(inputs), training=training)
        tensors = {"embedding output x0": x0}
        for expert, norm in zip(self.experts, self.norms, strict=True):
            seen = (x0, x) if self.drop is None else [self.drop(seen, training=training) for seen in (x0, x)]
            x = norm(upcast(x) + upcast(expert(*seen, training=training)), training=training)
            tensors[f"output of {expert.name}"] = x
        tensors["logit"] = logit = self.estimator(x)
        per_row = sum(expert.flops() for expert in self.experts) + self.estimator.flops()
        return Forward(logit=logit, flops=tf.cast(tf.shape(x0)[0], tf.float32) * per_row, tensors=tensors)

    def get_config(self):
        return super().get_config() | {
            "dimension": self.dimension,
            "num_layers": self.num_layers,
            "expert": self.expert,
            "normalization": self.normalization,
            "embedding_normalization": self.embedding_normalization,
            "dropout": self.dropout,
            "initial_logit": self.initial_logit,
        }
