"""Optimisers, Keras' own by name and ours."""

from ada_ensemble_tf.optimizers.clipping import ClippedAdam
from ada_ensemble_tf.optimizers.defaults import DEFAULTS, optimizers_of_groups
from ada_ensemble_tf.optimizers.ftrl import Ftrl
from ada_ensemble_tf.optimizers.grda import GRDA
from ada_ensemble_tf.optimizers.group_ftrl import GroupFtrl
from ada_ensemble_tf.optimizers.registry import OPTIMIZERS, make_optimizer
from ada_ensemble_tf.optimizers.row_sparse import RowSparseOptimizer, leaves_rows
from ada_ensemble_tf.optimizers.schedules import Schedule
from ada_ensemble_tf.optimizers.sparse_adagrad import RowSparseAdagrad
from ada_ensemble_tf.optimizers.sparse_adam import RowSparseAdam

__all__ = [
    "DEFAULTS",
    "GRDA",
    "OPTIMIZERS",
    "ClippedAdam",
    "Ftrl",
    "GroupFtrl",
    "RowSparseAdagrad",
    "RowSparseAdam",
    "RowSparseOptimizer",
    "Schedule",
    "leaves_rows",
    "make_optimizer",
    "optimizers_of_groups",
]
