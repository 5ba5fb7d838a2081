"""AdaEnsemble with all experts on."""

from types import MappingProxyType
from typing import Any

import keras

from ada_ensemble_tf.arguments import Count, Counts, LayerNormalization, Share
from ada_ensemble_tf.models.ada_ensemble import RELEASED_EXPERTS, AdaEnsemble, DepthObjective
from ada_ensemble_tf.moe.expert_lists import LayersExperts, OneExpert, layer_sizes
from ada_ensemble_tf.moe.sparse_moe import Dispatcher


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class DenseMoE(AdaEnsemble):
    """`AdaEnsemble` with K = E: every expert on every row, weighted by the gates (arXiv 2301.08353, table 2).

    The depth gate stays: the paper gives DenseMoE 9.78 MFLOPs, and four full layers would take 12.6.
    `depth_objective="none"` removes it. The defaults are the paper's layers, those of `configs.published.LAYERS`.

    Args:
        dispatcher: "dense" or a fusion, see `SparseMoE`.
        **others: the other arguments of `AdaEnsemble`, except `k` and `k_schedule`.

    Example:
        >>> model = DenseMoE(num_rows=4, num_fields=2, dimension=2, num_layers=1, experts=("dense", "cross"))
        >>> model(tf.constant([[0, 1], [2, 3]])).shape
        TensorShape([2])
    """

    registered_name = "dense_moe"
    withheld = frozenset(("k", "k_schedule"))
    epochs = MappingProxyType({**AdaEnsemble.epochs, "load_anneal_steps": 0.0})

    def __init__(
        self,
        *,
        experts: LayersExperts = RELEASED_EXPERTS,
        num_layers: Count = 4,
        normalization: LayerNormalization = "batch",
        shared_expert: OneExpert | None = None,
        head_units: Counts = (),
        dropout: Share = 0.0,
        depth_objective: DepthObjective = "straight_through",
        dispatcher: Dispatcher = "dense",
        **others: Any,
    ):
        sizes = layer_sizes(experts)
        # A layer of fewer experts than the schedule's K keeps all of them.
        keeping_all = {"values": (max(sizes),), "boundaries": ()}
        super().__init__(
            experts=experts,
            k=min(sizes),
            num_layers=num_layers,
            normalization=normalization,
            shared_expert=shared_expert,
            head_units=head_units,
            dropout=dropout,
            depth_objective=depth_objective,
            k_schedule=keeping_all,
            dispatcher=dispatcher,
            **others,
        )
