"""Sparse mixture of experts: dispatcher, layer and dynamic propagation."""

from ada_ensemble_tf.moe.depth import Propagation, propagate
from ada_ensemble_tf.moe.dispatch import SparseDispatcher
from ada_ensemble_tf.moe.sparse_moe import SparseMoE

__all__ = ["Propagation", "SparseDispatcher", "SparseMoE", "propagate"]
