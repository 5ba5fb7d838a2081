"""D-MoE: a dense mixture of experts with strategies that keep the experts' outputs from being alike."""

from collections.abc import Sequence
from typing import Any, Literal

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import ArgumentError, Count, Normalization, Share, SomeCounts, Weight
from ada_ensemble_tf.layers.estimator import Estimator
from ada_ensemble_tf.layers.normalization import make_normalization
from ada_ensemble_tf.layers.precision import Activation
from ada_ensemble_tf.losses.decorrelation import decorrelation_loss
from ada_ensemble_tf.models.base import CTRModel
from ada_ensemble_tf.models.forward import Forward
from ada_ensemble_tf.models.interaction_expert import INTERACTIONS, Interaction, InteractionExpert, Interactions
from ada_ensemble_tf.models.softmax_gate import SoftmaxGate
from data_pipelines.read.inputs import Inputs


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class DMoE(CTRModel):
    """w . sum_j g_j E_j(x_j) + b: experts weighted by a dense softmax gate (D-MoE, arXiv 2505.17925).

    Three strategies of de-correlation can be switched on and off: an embedding table for each expert
    (`own_embeddings`, which alone makes the multi-embedding mixture of experts), experts of different architectures
    (`heterogeneous`), and the Cross-Expert De-Correlation loss (`decorrelation_weight`). Without them the model is a
    plain mixture of experts.

    Args:
        dimension: D, the size of an embedding.
        experts: the experts' interactions, see `InteractionExpert`.
        heterogeneous: whether the experts are those of `experts`; otherwise there are as many of `homogeneous_expert`.
        homogeneous_expert: the interaction of all experts without `heterogeneous`, see `InteractionExpert`.
        own_embeddings: whether each expert has its own embedding table; otherwise all share one.
        gate_embedding: what the gate reads: "own", its own embedding table, or "experts", where the logit of each
            expert reads that expert's embeddings.
        decorrelation_weight: the coefficient of the Cross-Expert De-Correlation loss of training batches.
        expert_size: A, the size of the experts' outputs.
        feature_maps, num_crosses, hidden_units, activation, normalization, dropout: for the experts; see
            `InteractionExpert`.
        embedding_normalization: normalisation of each table's embeddings: "batch", "layer" or "none". Products need
            unit scale.
        **common: the arguments of all models, see `CTRModel`.

    Example:
        >>> model = DMoE(num_rows=4, num_fields=2, dimension=2, experts=("cross", "fm"), expert_size=4)
        >>> model(tf.constant([[0, 1], [2, 3]])).shape
        TensorShape([2])
    """

    registered_name = "d_moe"

    def __init__(
        self,
        *,
        dimension: Count = 16,
        experts: Interactions = INTERACTIONS,
        heterogeneous: bool = True,
        homogeneous_expert: Interaction = "cross",
        own_embeddings: bool = True,
        gate_embedding: Literal["own", "experts"] = "own",
        decorrelation_weight: Weight = 0.1,
        expert_size: Count = 64,
        feature_maps: SomeCounts = (64, 64),
        num_crosses: Count = 2,
        hidden_units: SomeCounts = (200, 200),
        activation: Activation = "relu",
        normalization: Normalization = "batch",
        dropout: Share = 0.0,
        embedding_normalization: Normalization = "batch",
        **common: Any,
    ):
        super().__init__(**common)
        if len(experts) < 2:
            raise ArgumentError("experts", "be two or more names", list(experts))
        self.dimension = dimension
        self.own_embeddings = own_embeddings
        self.gate_embedding = gate_embedding
        self.decorrelation_weight = decorrelation_weight
        self.expert_size = expert_size
        self.embedding_normalization = embedding_normalization
        names = experts if heterogeneous else (homogeneous_expert,) * len(experts)
        options = (feature_maps, num_crosses, hidden_units, activation, normalization, dropout)
        self.experts = [
            InteractionExpert(interaction, self.num_fields, expert_size, *options, name=f"{interaction}_{j}")
            for j, interaction in enumerate(names, 1)
        ]
        self._build_layers()

    def _build_layers(self) -> None:
        tables = [f"embedding_{j}" for j in range(1, len(self.experts) + 1)] if self.own_embeddings else ["embedding"]
        if self.gate_embedding == "own":
            tables.append("gate_embedding")
        shape = (None, self.num_fields * self.dimension)
        self.embeddings, self.norms = [], []
        for table in tables:
            self.embeddings.append(self.make_embedding(self.dimension, table))
            self.norms.append(make_normalization(self.embedding_normalization, f"normalize_{table}"))
            self.norms[-1].build(shape)
        for expert in self.experts:
            expert.build(shape)
        self.gate = SoftmaxGate(len(self.experts), name="gate")
        self.gate.build(shape)
        self.estimator = Estimator(self.initial_logit, name="estimator")
        self.estimator.build((None, self.expert_size))
        self.built = True

    def choice_names(self) -> dict[str, list[str]]:
        """The experts by interaction and number."""
        return {"gate": [expert.name for expert in self.experts]}

    def forward(self, inputs: Inputs, training: bool = False) -> Forward:
        """Embeds the rows for experts and gate, and sums the experts' outputs, weighted by the gate."""
        maps = [norm(table(inputs), training=training) for table, norm in zip(self.embeddings, self.norms, strict=True)]
        for_gate = maps[-1] if self.gate_embedding == "own" or not self.own_embeddings else maps
        gates, report = self.gate(for_gate)
        outputs = self._run_experts(maps, training)
        mixed = tf.add_n([gates[:, j, None] * tf.cast(output, gates.dtype) for j, output in enumerate(outputs)])
        logit = self.estimator(mixed)
        terms = {}
        if training and self.decorrelation_weight:
            terms["decorrelation"] = self.decorrelation_weight * decorrelation_loss(outputs)
        per_row = sum(expert.flops() for expert in self.experts) + self.gate.flops() + self.estimator.flops()
        return Forward(
            logit=logit,
            flops=tf.cast(tf.shape(mixed)[0], tf.float32) * per_row,
            terms=terms,
            reports={"gate": report},
            tensors={f"output of {table.name}": x for table, x in zip(self.embeddings, maps, strict=True)}
            | {"gates": gates}
            | {f"output of {expert.name}": x for expert, x in zip(self.experts, outputs, strict=True)}
            | {"sum of experts": mixed, "logit": logit},
        )

    def _run_experts(self, maps: Sequence[tf.Tensor], training: bool) -> list[tf.Tensor]:
        return [
            expert(maps[j if self.own_embeddings else 0], training=training) for j, expert in enumerate(self.experts)
        ]

    def expert_outputs(self, inputs: Inputs) -> dict[str, list[tf.Tensor]]:
        """The outputs `[B, A]` that the gate weights, as one layer."""
        maps = [norm(table(inputs)) for table, norm in zip(self.embeddings, self.norms, strict=True)]
        return {"experts": self._run_experts(maps, training=False)}
