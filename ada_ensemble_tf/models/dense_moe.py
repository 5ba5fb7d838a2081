"""AdaEnsemble with all experts on."""

from typing import Any

import keras

from ada_ensemble_tf.experts import ExpertNames
from ada_ensemble_tf.models.ada_ensemble import RELEASED_EXPERTS, AdaEnsemble
from ada_ensemble_tf.moe.sparse_moe import Dispatcher


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class DenseMoE(AdaEnsemble):
    """`AdaEnsemble` with K = E: every expert on every row, weighted by the gates (arXiv 2301.08353, table 2).

    The depth controller stays, for the paper gives DenseMoE 9.78 MFLOPs, where four full layers have 12.6;
    `depth_objective="none"` leaves it out.

    Args:
        dispatcher: "dense", or a fusion, see `SparseMoE`.
        **others: `AdaEnsemble`'s other arguments, less `k` and `k_schedule`.
    """

    registered_name = "dense_moe"
    withheld = frozenset(("k", "k_schedule"))

    def __init__(self, *, experts: ExpertNames = RELEASED_EXPERTS, dispatcher: Dispatcher = "dense", **others: Any):
        super().__init__(experts=experts, k=len(experts), dispatcher=dispatcher, **others)
