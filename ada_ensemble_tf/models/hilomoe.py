"""HiLoMoE: a deep network whose dense layers have hierarchically routed experts of rank 1."""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf import losses
from ada_ensemble_tf.arguments import (
    ArgumentError,
    Count,
    CountOrZero,
    CountsOrZeros,
    Normalization,
    Positive,
    Share,
    SomeCounts,
    Weight,
)
from ada_ensemble_tf.gates import GateReport
from ada_ensemble_tf.layers.dropout import make_dropout
from ada_ensemble_tf.layers.estimator import Estimator
from ada_ensemble_tf.layers.normalization import make_normalization
from ada_ensemble_tf.layers.precision import Activation, apply_activation
from ada_ensemble_tf.models.base import CTRModel
from ada_ensemble_tf.models.forward import Forward
from ada_ensemble_tf.moe.low_rank_experts import LowRankExperts
from ada_ensemble_tf.updates.stages import Stage
from data_pipelines.read.inputs import Inputs


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class HiLoMoE(CTRModel):
    """w . h_n + b, h_i = activation(normalise(LowRankExperts_i(h_{i-1}))), h_0 = x0 (HiLoMoE, arXiv 2510.10432).

    Its base is a `DNN` with the same sizes. The experts start at 0, so the model starts as its base. Training has three
    stages: the base, then the experts on the frozen base, then both at lower learning rates.

    From the abstract: rank-1 experts in several levels, routing by the scores of prior levels so that levels run in
    parallel, few active experts, three stages, and the claim of a better AUC at 18.5 % fewer FLOPs than the base
    without experts. Inferred: the formulas (see `LowRankExperts`), experts in each dense layer, the routers' losses,
    what the stages train and how long they last. The routers are ordinary weights, trained on the same rows.

    Args:
        dimension: D, the size of an embedding.
        hidden_units: the sizes of the dense layers. The experts only add FLOPs: at equal sizes, (400, 400, 400), 39
            fields and D = 16, they add 13.3 % to those of a `DNN`. The defaults are smaller so that the model spends
            19 % fewer than that `DNN`; with fewer fields they save more, with more fields less.
        num_layers: L, the number of levels of experts in each dense layer.
        rank_experts: the number of experts per level.
        k: the number of experts kept per row and level; 0 means all. The abstract has "a small subset", without a
            number.
        query_rank: the rank of the projection from which routing starts.
        parallel: whether a layer computes its levels as one product instead of in a loop; the result is the same.
        expert_load_weight: the coefficient of the balance losses of all routers, with a uniform prior.
        z_weight: the coefficient of the z-losses (arXiv 2202.08906) of all routers.
        stage_steps: weight updates of stages 1 and 2; either may be 0. Stage 3 lasts to the end. Empty means a single
            stage that trains everything at full learning rates.
        final_learning_rate_factor: the factor by which stage 3 multiplies all learning rates.
        activation, normalization, dropout: for the dense layers; see `MLP`.
        embedding_normalization: normalisation of the embeddings: "batch", "layer" or "none". Routers cannot tell rows
            apart by a small x0.
        **common: the arguments of all models, see `CTRModel`.

    Example:
        >>> model = HiLoMoE(num_rows=4, num_fields=2, dimension=2, hidden_units=(4,), rank_experts=2)
        >>> model(tf.constant([[0, 1], [2, 3]])).shape
        TensorShape([2])
    """

    registered_name = "hilomoe"
    epochs = MappingProxyType({"stage_steps": (1.0, 1.0)})

    def __init__(
        self,
        *,
        dimension: Count = 16,
        hidden_units: SomeCounts = (316, 316, 316),
        num_layers: Count = 3,
        rank_experts: Count = 8,
        k: CountOrZero = 2,
        query_rank: Count = 8,
        parallel: bool = True,
        expert_load_weight: Weight = 0.01,
        z_weight: Weight = 1e-3,
        stage_steps: CountsOrZeros = (),
        final_learning_rate_factor: Positive = 0.1,
        activation: Activation = "relu",
        normalization: Normalization = "batch",
        dropout: Share = 0.0,
        embedding_normalization: Normalization = "batch",
        **common: Any,
    ):
        super().__init__(**common)
        if len(stage_steps) not in (0, 2):
            raise ArgumentError("stage_steps", "be the lengths of stages 1 and 2, or be empty", list(stage_steps))
        if k > rank_experts:
            raise ArgumentError("k", f"lie between 1 and the {rank_experts} experts, or be 0 for all", k)
        self.routing = {"num_levels": num_layers, "num_experts": rank_experts, "k": k, "query_rank": query_rank}
        self.expert_load_weight = expert_load_weight
        self.z_weight = z_weight
        self.stage_steps = tuple(stage_steps)
        self.final_learning_rate_factor = final_learning_rate_factor
        self.activate = keras.activations.get(activation)
        self.embedding = self.make_embedding(dimension, "embedding")
        shape = (None, self.num_fields * dimension)
        self.normalize = make_normalization(embedding_normalization, "normalize")
        self.normalize.build(shape)
        self.expert_layers, self.norms = [], []
        for i, units in enumerate(hidden_units, 1):
            layer = LowRankExperts(units, parallel=parallel, name=f"layer_{i}", **self.routing)
            layer.build(shape)
            shape = (None, units)
            norm = make_normalization(normalization, f"normalize_{i}")
            norm.build(shape)
            self.expert_layers.append(layer)
            self.norms.append(norm)
        self.drop = make_dropout(dropout)
        self.estimator = Estimator(self.initial_logit, name="estimator")
        self.estimator.build(shape)
        self.built = True

    def stages(self) -> tuple[Stage, ...]:
        """The base, the experts on it, and both; no stages if `stage_steps` is empty."""
        if not self.stage_steps:
            return ()
        experts = [v for layer in self.expert_layers for v in layer.expert_variables]
        apart = {id(v) for v in experts}
        base = [v for v in self.trainable_variables if id(v) not in apart]
        base_steps, expert_steps = self.stage_steps
        return (
            Stage("base", base_steps, frozen=experts),
            Stage("experts", expert_steps, frozen=base),
            Stage("all", learning_rate_factor=self.final_learning_rate_factor),
        )

    def choice_names(self) -> dict[str, list[str]]:
        """expert_1 to expert_R, by router."""
        names = [f"expert_{i}" for i in range(1, self.routing["num_experts"] + 1)]
        levels = range(1, self.routing["num_levels"] + 1)
        return {f"{layer.name}/level_{level}": names for layer in self.expert_layers for level in levels}

    def forward(self, inputs: Inputs, training: bool = False) -> Forward:
        """Embeds the rows and runs them through the dense layers and their experts."""
        x = x0 = self.normalize(self.embedding(inputs), training=training)
        reports: dict[str, GateReport] = {}
        outputs: dict[str, tf.Tensor] = {}
        for layer, norm in zip(self.expert_layers, self.norms, strict=True):
            y, levels = layer(x)
            outputs[f"output of {layer.name}"] = y
            reports |= {f"{layer.name}/level_{i}": report for i, report in enumerate(levels, 1)}
            x = apply_activation(self.activate, norm(y, training=training))
            if self.drop is not None:
                x = self.drop(x, training=training)
        logit = self.estimator(x)
        rows = tf.cast(tf.shape(x0)[0], tf.float32)
        per_row = sum(layer.flops() for layer in self.expert_layers) + self.estimator.flops()
        per_batch = sum(layer.flops_per_batch() for layer in self.expert_layers)
        return Forward(
            logit=logit,
            flops=rows * per_row + tf.minimum(rows, 1.0) * per_batch,
            terms=self._auxiliary_terms(list(reports.values())),
            reports=reports,
            tensors={"embedding output x0": x0} | outputs | {"logit": logit},
        )

    def _auxiliary_terms(self, reports: Sequence[GateReport]) -> dict[str, tf.Tensor]:
        # While the routers are frozen, their losses could only bend the base towards random keys.
        routed = tf.cast(self.step >= (self.stage_steps[0] if self.stage_steps else 0), tf.float32)
        prior = tf.fill([self.routing["num_experts"]], 1.0 / self.routing["num_experts"])
        terms = {}
        if self.expert_load_weight:
            balance = tf.add_n([losses.load_distribution_loss(r.load, r.probability, prior) for r in reports])
            terms["expert_distribution"] = routed * self.expert_load_weight * balance
        if self.z_weight:
            terms["router_z"] = routed * self.z_weight * tf.add_n([r.z for r in reports])
        return terms
