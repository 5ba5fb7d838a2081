"""The multi-embedding mixture of experts: D-MoE whose only strategy is one embedding table per expert."""

from typing import Any

import keras

from ada_ensemble_tf.arguments import ArgumentError, Count
from ada_ensemble_tf.models.d_moe import DMoE
from ada_ensemble_tf.models.interaction_expert import Interaction


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class MultiEmbeddingMoE(DMoE):
    """w . sum_j g_j E_j(x_j) + b: experts of one architecture, each with its own embedding table.

    It is the baseline of D-MoE (arXiv 2505.17925). Guo et al. (arXiv 2310.04400) propose several embedding tables, each
    with its own interactions, against embeddings that collapse into few dimensions as they grow.

    Args:
        num_experts: E, the number of experts.
        expert: the interaction of all experts, see `InteractionExpert`.
        **others: the other arguments of `DMoE`, except those of its strategies.

    Example:
        >>> model = MultiEmbeddingMoE(num_rows=4, num_fields=2, dimension=2, num_experts=2)
        >>> model(tf.constant([[0, 1], [2, 3]])).shape
        TensorShape([2])
    """

    registered_name = "multi_embedding_moe"
    withheld = frozenset(("experts", "heterogeneous", "homogeneous_expert", "own_embeddings", "decorrelation_weight"))

    def __init__(self, *, num_experts: Count = 4, expert: Interaction = "cross", **others: Any):
        if num_experts < 2:
            raise ArgumentError("num_experts", "be at least 2", num_experts)
        super().__init__(experts=(expert,) * num_experts, decorrelation_weight=0.0, **others)
