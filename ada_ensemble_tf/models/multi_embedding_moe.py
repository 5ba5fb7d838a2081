"""The multi-embedding mixture of experts: D-MoE with embeddings of their own as its only strategy."""

from collections.abc import Sequence

import keras

from ada_ensemble_tf.models.d_moe import DMoE


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class MultiEmbeddingMoE(DMoE):
    """w . sum_j g_j E_j(x_j) + b: experts of one architecture, each with an embedding table of its own.

    The baseline of D-MoE (arXiv 2505.17925); several embedding tables with interactions of their own are the remedy of
    Guo et al. (arXiv 2310.04400) against embeddings that collapse into few dimensions as they grow.

    Args:
        num_rows, num_fields, widths, value_rows: what is read, see `CTRModel`.
        dimension: D.
        num_experts: E.
        expert: their interaction, see `InteractionExpert`.
        gate_embedding, expert_size, feature_maps, num_crosses, hidden_units, activation, normalization, dropout,
            embedding_normalization: see `DMoE`.
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
        num_experts: int = 4,
        expert: str = "cross",
        gate_embedding: str = "own",
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
        name: str = "multi_embedding_moe",
    ):
        if num_experts < 2:
            raise ValueError(f"num_experts must be at least 2; received {num_experts}")
        super().__init__(
            num_rows,
            num_fields,
            widths,
            value_rows,
            dimension,
            experts=(expert,) * num_experts,
            own_embeddings=True,
            gate_embedding=gate_embedding,
            decorrelation_weight=0.0,
            expert_size=expert_size,
            feature_maps=feature_maps,
            num_crosses=num_crosses,
            hidden_units=hidden_units,
            activation=activation,
            normalization=normalization,
            dropout=dropout,
            embedding_normalization=embedding_normalization,
            l2=l2,
            initial_logit=initial_logit,
            name=name,
        )

    def get_config(self):
        config = super().get_config()
        for strategy in ("experts", "heterogeneous", "homogeneous_expert", "own_embeddings", "decorrelation_weight"):
            del config[strategy]
        return config | {"num_experts": len(self.interactions), "expert": self.interactions[0]}
