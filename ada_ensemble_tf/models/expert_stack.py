"""Stacked mixtures of experts with an estimator each: the layers of AdaEnsemble, without its losses and depths."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import tensorflow as tf

from ada_ensemble_tf.arguments import ArgumentError, Count, Counts, LayerNormalization, Normalization, Share, Weight
from ada_ensemble_tf.gates import Gate, make_gate
from ada_ensemble_tf.layers.estimator import Estimator
from ada_ensemble_tf.layers.normalization import make_normalization
from ada_ensemble_tf.models.base import CTRModel
from ada_ensemble_tf.moe import SparseMoE
from ada_ensemble_tf.moe.expert_layer import ExpertNormalization
from ada_ensemble_tf.moe.expert_lists import LayersExperts, OneExpert, layer_lists, layer_sizes
from ada_ensemble_tf.moe.expert_scale import ExpertScaleName
from ada_ensemble_tf.moe.expert_views import LinearViews
from ada_ensemble_tf.moe.fusion import FusionActivation
from ada_ensemble_tf.moe.sparse_moe import Dispatcher
from data_pipelines.read.inputs import Inputs


class ExpertStack(CTRModel):
    """Embedding, x0, L `SparseMoE` layers and L estimators, built; a subclass defines how rows run through them.

    Args:
        experts: the experts in each layer, or a list of them for each layer; see `AdaEnsemble`.
        dimension: D, the size of an embedding.
        num_layers: L, the number of MoE layers.
        normalization: normalisation of each layer's output: "batch", "layer" or "none". "pre" normalises what experts
            read instead and leaves the sum of all layers as it is.
        embedding_normalization: normalisation of the embeddings: "batch", "layer" or "none"; the multiplicative experts
            need an x0 of unit scale.
        expert_normalization: normalisation of each expert by itself: "none", "input" (what it reads), "output" (what it
            gives) or "pre_activation" (before its last activation, else its output); see `SparseMoE`.
        expert_scale: scale of the gated sum: "none", "sqrt_k", "k", "unweighted" or "learned"; see `ExpertScale`.
        shared_expert: an expert that runs on every row beside the routed ones in each layer, in the same forms; by
            default none.
        expert_embeddings: what experts read as x0, and in the first layer as x: the "shared" embeddings; "linear", for
            each expert a linear map of them, field by field, which starts at the identity; or "own", each expert's own
            tables (D-MoE, arXiv 2505.17925). An expert reads the same in all layers; gates, residuals and the shared
            expert read the shared embeddings.
        head_units: sizes of the hidden layers of an MLP beside the linear part of each estimator; none by default.
        exits: the logit of exit l: that of its "own" estimator, or the "summed" logits of estimators 1 to l.
        gate: the kind of the depth gate and of the layers' gates: "name", one of `ada_ensemble_tf.gates.GATES`, and any
            of its options; None leaves an option at the gate's default.
        dispatcher: how rows reach experts: "sparse", "dense", "dense_pre", "vector_fusion" or "bit_fusion", see
            `SparseMoE`. With a fusion the layers have no gates, and `k`, `expert_prior` and `expert_load_weight` do
            nothing.
        fusion_activation: the activation of a fusion: "sigmoid", "smooth_step", "softmax" or "sparsemax", see
            `SparseFusion`.
        decorrelation_weight: the coefficient of the Cross-Expert De-Correlation loss (D-MoE, arXiv 2505.17925), summed
            over layers. The loss compares each pair of experts on the rows that are routed to both.
        dropout: the share of the experts' inputs that training sets to 0; gates and residuals are not affected.
        activation_checkpointing: whether training keeps only each MoE layer's inputs and computes the layer again in
            the backward pass, see `recomputed`; less memory for more time.
        seed: the seed of the gates' noise.
        **common: the arguments of all models, see `CTRModel`.
    """

    def __init__(
        self,
        *,
        experts: LayersExperts,
        dimension: Count = 16,
        num_layers: Count = 4,
        normalization: LayerNormalization = "batch",
        embedding_normalization: Normalization = "batch",
        expert_normalization: ExpertNormalization = "none",
        expert_scale: ExpertScaleName = "none",
        shared_expert: OneExpert | None = None,
        expert_embeddings: Literal["shared", "linear", "own"] = "shared",
        head_units: Counts = (),
        exits: Literal["own", "summed"] = "own",
        gate: Mapping[str, Any] = MappingProxyType({"name": "noisy_cosine"}),
        dispatcher: Dispatcher = "sparse",
        fusion_activation: FusionActivation = "softmax",
        decorrelation_weight: Weight = 0.0,
        dropout: Share = 0.0,
        activation_checkpointing: bool = False,
        seed: int = 0,
        **common: Any,
    ):
        super().__init__(**common)
        sizes = layer_sizes(experts)
        if expert_embeddings != "shared" and min(sizes) < max(sizes):
            requirement = "be 'shared' where layers have different numbers of experts"
            raise ArgumentError("expert_embeddings", requirement, expert_embeddings)
        if decorrelation_weight and min(sizes) < 2:
            raise ArgumentError("decorrelation_weight", "be 0 for a single expert", decorrelation_weight)
        self.decorrelation_weight = decorrelation_weight
        self.activation_checkpointing = activation_checkpointing
        self.dimension = dimension
        self.num_layers = num_layers
        self.embedding = self.make_embedding(dimension, "embedding")
        self.feature_shape = (None, self.num_fields * dimension)
        self.normalize = make_normalization(embedding_normalization, "normalize")
        self.normalize.build(self.feature_shape)
        self._make_views(max(sizes), expert_embeddings, embedding_normalization)
        self._gate_options = {"name": "noisy_cosine"} | {n: option for n, option in gate.items() if option is not None}
        self._seed = seed
        self.summed_exits = exits == "summed"
        self.moe_layers, self.estimators = [], []
        for depth, listed in enumerate(layer_lists(experts, num_layers), 1):
            fused = dispatcher.endswith("_fusion")
            views = "none" if expert_embeddings == "shared" else "all" if depth == 1 else "x0"
            layer = SparseMoE(
                listed,
                self.num_fields,
                normalization,
                None if fused else self._make_gate(len(listed), depth, "gate"),
                dispatcher,
                fusion_activation,
                decorrelation_weight > 0.0,
                dropout,
                expert_scale,
                expert_normalization,
                shared_expert,
                views,
                name=f"layer_{depth}",
            )
            layer.build(self.x0_shape, self.feature_shape)
            # Summed, the logits start at the first's bias.
            start = 0.0 if self.summed_exits and depth > 1 else self.initial_logit
            estimator = Estimator(start, head_units, name=f"estimator_{depth}")
            estimator.build(self.feature_shape)
            self.moe_layers.append(layer)
            self.estimators.append(estimator)

    def _make_views(self, num_experts: int, kind: str, embedding_normalization: str) -> None:
        numbers = range(1, num_experts + 1) if kind == "own" else ()
        self.expert_embeddings = [self.make_embedding(self.dimension, f"embedding_{j}") for j in numbers]
        self.expert_embedding_norms = [
            make_normalization(embedding_normalization, f"normalize_embedding_{j}") for j in numbers
        ]
        for norm in self.expert_embedding_norms:
            norm.build(self.feature_shape)
        self.views = None
        if kind == "linear":
            self.views = LinearViews(num_experts, self.num_fields, name="views")
            self.views.build(self.feature_shape)
        width = self.feature_shape[-1]
        self.x0_shape = self.feature_shape if kind == "shared" else (None, width * (1 + num_experts))

    def features(self, inputs: Inputs, training: bool = False) -> tf.Tensor:
        """x0 `[B, M]`, or with the experts' views of it `[B, (1 + E) M]`."""
        x0 = self.normalize(self.embedding(inputs), training=training)
        if self.views is not None:
            return tf.concat([x0, self.views(x0)], axis=1)
        if not self.expert_embeddings:
            return x0
        tables = zip(self.expert_embeddings, self.expert_embedding_norms, strict=True)
        return tf.concat([x0, *(norm(table(inputs), training=training) for table, norm in tables)], axis=1)

    def base(self, x0: tf.Tensor) -> tf.Tensor:
        """`[B, M]`: `features` without the experts' views."""
        return self.moe_layers[0].base(x0)

    def view_flops(self, x0: tf.Tensor) -> tf.Tensor | float:
        """FLOPs of the experts' views of a batch."""
        return 0.0 if self.views is None else float(self.views.flops()) * tf.cast(tf.shape(x0)[0], tf.float32)

    def make_depth_gate(self) -> Gate:
        """A built gate over the L exits, of the same kind as the layers'."""
        gate = self._make_gate(self.num_layers, 0, "depth_gate")
        gate.build(self.feature_shape)
        return gate

    def _make_gate(self, num_choices: int, number: int, layer_name: str) -> Gate:
        options, seed = self._gate_options, self._seed + number
        try:
            gate = make_gate(**options, num_choices=num_choices, seed=seed, layer_name=layer_name)
        except ArgumentError as error:
            raise error.within("gate") from None
        gate.follow(self.step)
        return gate
