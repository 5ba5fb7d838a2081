"""Sparse mixture of experts: dispatchers, fusion, layer and dynamic propagation."""

from ada_ensemble_tf.moe.annealing import annealing_schedules, load_factor
from ada_ensemble_tf.moe.auxiliary_losses import AuxiliaryLosses
from ada_ensemble_tf.moe.dense_dispatcher import DenseDispatcher
from ada_ensemble_tf.moe.depth import Propagation, propagate
from ada_ensemble_tf.moe.dispatch import SparseDispatcher
from ada_ensemble_tf.moe.fusion import SparseFusion
from ada_ensemble_tf.moe.sparse_moe import SparseMoE

__all__ = [
    "AuxiliaryLosses",
    "DenseDispatcher",
    "Propagation",
    "SparseDispatcher",
    "SparseFusion",
    "SparseMoE",
    "annealing_schedules",
    "load_factor",
    "propagate",
]
