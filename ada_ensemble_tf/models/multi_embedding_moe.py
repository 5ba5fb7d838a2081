"""The multi-embedding mixture of experts: D-MoE with embeddings of their own as its only strategy."""

from typing import Any

import keras

from ada_ensemble_tf.arguments import ArgumentError, Count
from ada_ensemble_tf.models.d_moe import DMoE
from ada_ensemble_tf.models.interaction_expert import Interaction


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class MultiEmbeddingMoE(DMoE):
    """w . sum_j g_j E_j(x_j) + b: experts of one architecture, each with an embedding table of its own.

    The baseline of D-MoE (arXiv 2505.17925); several embedding tables with interactions of their own are the remedy of
    Guo et al. (arXiv 2310.04400) against embeddings that collapse into few dimensions as they grow.

    Args:
        num_experts: E.
        expert: their interaction, see `InteractionExpert`.
        **others: `DMoE`'s other arguments, less those of its strategies.
    """

    registered_name = "multi_embedding_moe"
    withheld = frozenset(("experts", "heterogeneous", "homogeneous_expert", "own_embeddings", "decorrelation_weight"))

    def __init__(self, *, num_experts: Count = 4, expert: Interaction = "cross", **others: Any):
        if num_experts < 2:
            raise ArgumentError("num_experts", "be at least 2", num_experts)
        super().__init__(experts=(expert,) * num_experts, decorrelation_weight=0.0, **others)
