"""A stack of one kind of expert."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import Count, Normalization, Share
from ada_ensemble_tf.layers.dropout import make_dropout
from ada_ensemble_tf.layers.estimator import Estimator
from ada_ensemble_tf.layers.normalization import make_normalization
from ada_ensemble_tf.layers.precision import upcast
from ada_ensemble_tf.models.base import CTRModel
from ada_ensemble_tf.models.forward import Forward
from ada_ensemble_tf.moe.expert_lists import OneExpert, labels, make_listed, named
from data_pipelines.read.inputs import Inputs


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class SingleExpert(CTRModel):
    """x_{l+1} = Norm(x_l + E_l(x0, x_l)), then w . x_L + b: the "expert only" rows of AdaEnsemble's table 2.

    AdaEnsemble (arXiv 2301.08353), section 4.3, with one expert a layer. The paper counts a gate in each layer; over
    one expert it is the constant 1, so there is none here.

    Args:
        dimension: D, the size of an embedding.
        num_layers: L, the number of layers.
        expert: the expert: its name, see `ada_ensemble_tf.experts.EXPERTS`, or a mapping of its "name" and options,
            such as {"name": "cin", "feature_maps": (64,)}, or from Python a class or instance.
        normalization: normalisation of each layer's output: "batch", "layer" or "none".
        embedding_normalization: normalisation of the embeddings, likewise; the multiplicative experts need an x0 of
            unit scale.
        dropout: the share of the experts' inputs that training sets to 0; residuals are not affected.
        **common: the arguments of all models, see `CTRModel`.

    Example:
        >>> model = SingleExpert(num_rows=4, num_fields=2, dimension=2, num_layers=1, expert="cross")
        >>> model(tf.constant([[0, 1], [2, 3]])).shape
        TensorShape([2])
    """

    registered_name = "single_expert"

    def __init__(
        self,
        *,
        dimension: Count = 16,
        num_layers: Count = 4,
        expert: OneExpert = "cross",
        normalization: Normalization = "batch",
        embedding_normalization: Normalization = "batch",
        dropout: Share = 0.0,
        **common: Any,
    ):
        super().__init__(**common)
        self.drop = make_dropout(dropout)
        self.embedding = self.make_embedding(dimension, "embedding")
        shape = (None, self.num_fields * dimension)
        self.normalize = make_normalization(embedding_normalization, "normalize")
        self.normalize.build(shape)
        self.experts, self.norms = [], []
        (label,) = labels([expert])
        for depth in range(1, num_layers + 1):
            with named(label, "expert"):
                self.experts.append(make_listed(expert, self.num_fields, f"{label}_{depth}"))
                self.experts[-1].build(shape, shape)
            self.norms.append(make_normalization(normalization, f"normalize_{depth}"))
            self.norms[-1].build(shape)
        self.estimator = Estimator(self.initial_logit, name="estimator")
        self.estimator.build(shape)
        self.built = True

    def forward(self, inputs: Inputs, training: bool = False) -> Forward:
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
