"""D-MoE: a dense mixture of experts with strategies that keep the experts' outputs from being alike."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from ada_ensemble_tf.layers.estimator import Estimator
from ada_ensemble_tf.layers.normalization import make_normalization
from ada_ensemble_tf.losses.decorrelation import decorrelation_loss
from ada_ensemble_tf.models.base import CTRModel, Forward
from ada_ensemble_tf.models.interaction_expert import INTERACTIONS, InteractionExpert
from ada_ensemble_tf.models.softmax_gate import SoftmaxGate

GATE_EMBEDDINGS = ("own", "experts")


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class DMoE(CTRModel):
    """w . sum_j g_j E_j(x_j) + b: experts weighted by a dense softmax gate (D-MoE, arXiv 2505.17925).

    Three strategies of de-correlation can each be on or off: an embedding table for each expert (`own_embeddings`;
    alone it is the multi-embedding mixture of experts), experts of different architectures (`heterogeneous`), and the
    Cross-Expert De-Correlation loss (`decorrelation_weight`). With all off it is a plain mixture of experts.

    Args:
        num_rows, num_fields, widths, value_rows: what is read, see `CTRModel`.
        dimension: D.
        experts: the experts' interactions, see `InteractionExpert`.
        heterogeneous: whether experts are those; else all `len(experts)` of them are `homogeneous_expert`.
        homogeneous_expert: one of `INTERACTIONS`.
        own_embeddings: whether each expert has a table of its own; else all read one.
        gate_embedding: what the gate reads: a table of its own, "own", or in each expert's logit that expert's
            embeddings, "experts".
        decorrelation_weight: coefficient of the Cross-Expert De-Correlation loss of training batches.
        expert_size: A, size of the experts' outputs.
        feature_maps, num_crosses, hidden_units, activation, normalization, dropout: of the experts, see
            `InteractionExpert`.
        embedding_normalization: of each table's embeddings: "batch", "layer" or "none"; products want unit scale.
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
        experts: Sequence[str] = INTERACTIONS,
        heterogeneous: bool = True,
        homogeneous_expert: str = "cross",
        own_embeddings: bool = True,
        gate_embedding: str = "own",
        decorrelation_weight: float = 0.1,
        expert_size: int = 64,
        feature_maps: Sequence[int] = (64, 64),
        num_crosses: int = 2,
        hidden_units: Sequence[int] = (200, 200),
        activation: str = "relu",
        normalization: str = "batch",
        dropout: float = 0.0,
        embedding_normalization: str = "batch",
        l2: float = 0.0,
        initial_logit: float = 0.0,
        name: str = "d_moe",
    ):
        super().__init__(num_rows, num_fields, widths, value_rows, l2, name=name)
        if len(experts) < 2:
            raise ValueError(f"experts must name two or more; received {list(experts)}")
        if gate_embedding not in GATE_EMBEDDINGS:
            raise ValueError(f"gate_embedding must be one of {GATE_EMBEDDINGS}; received {gate_embedding!r}")
        if decorrelation_weight < 0.0:
            raise ValueError(f"decorrelation_weight must not be negative; received {decorrelation_weight}")
        self.dimension = dimension
        self.interactions = tuple(experts)
        self.heterogeneous = heterogeneous
        self.homogeneous_expert = homogeneous_expert
        self.own_embeddings = own_embeddings
        self.gate_embedding = gate_embedding
        self.decorrelation_weight = decorrelation_weight
        self.expert_size = expert_size
        self.embedding_normalization = embedding_normalization
        self.initial_logit = initial_logit
        names = self.interactions if heterogeneous else (homogeneous_expert,) * len(experts)
        options = (feature_maps, num_crosses, hidden_units, activation, normalization, dropout)
        self.experts = [
            InteractionExpert(interaction, num_fields, expert_size, *options, name=f"{interaction}_{j}")
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

    def choice_names(self):
        """Experts by number and interaction."""
        return {"gate": [expert.name for expert in self.experts]}

    def forward(self, inputs, training=False) -> Forward:
        """Embeds the rows for experts and gate, and sums the experts' outputs weighted by the gate."""
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

    def _run_experts(self, maps, training) -> list[tf.Tensor]:
        return [
            expert(maps[j if self.own_embeddings else 0], training=training) for j, expert in enumerate(self.experts)
        ]

    def expert_outputs(self, inputs) -> dict[str, list[tf.Tensor]]:
        """The outputs `[B, A]` that the gate weights, as one layer."""
        maps = [norm(table(inputs)) for table, norm in zip(self.embeddings, self.norms, strict=True)]
        return {"experts": self._run_experts(maps, training=False)}

    def get_config(self):
        return super().get_config() | {
            "dimension": self.dimension,
            "experts": list(self.interactions),
            "heterogeneous": self.heterogeneous,
            "homogeneous_expert": self.homogeneous_expert,
            "own_embeddings": self.own_embeddings,
            "gate_embedding": self.gate_embedding,
            "decorrelation_weight": self.decorrelation_weight,
            "expert_size": self.expert_size,
            **self.experts[0].arguments(),
            "embedding_normalization": self.embedding_normalization,
            "initial_logit": self.initial_logit,
        }
