"""AdaEnsemble with all experts on."""

from typing import Any

import keras

from ada_ensemble_tf.models.ada_ensemble import RELEASED_EXPERTS, AdaEnsemble
from ada_ensemble_tf.moe.expert_lists import LayersExperts, layer_sizes
from ada_ensemble_tf.moe.sparse_moe import Dispatcher


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class DenseMoE(AdaEnsemble):
    """`AdaEnsemble` with K = E: every expert on every row, weighted by the gates (arXiv 2301.08353, table 2).

    The depth gate stays: the paper gives DenseMoE 9.78 MFLOPs, and four full layers would take 12.6.
    `depth_objective="none"` removes it.

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

    def __init__(self, *, experts: LayersExperts = RELEASED_EXPERTS, dispatcher: Dispatcher = "dense", **others: Any):
        sizes = layer_sizes(experts)
        # A layer of fewer experts than the schedule's K keeps all of them.
        keeping_all = {"values": (max(sizes),), "boundaries": ()}
        super().__init__(experts=experts, k=min(sizes), k_schedule=keeping_all, dispatcher=dispatcher, **others)
