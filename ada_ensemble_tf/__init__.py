"""AdaEnsemble and its baselines: a TensorFlow/Keras model zoo for click-through-rate prediction.

The legend of shapes used in every docstring: B batch, F fields, D embedding size, M = F * D (the width of a
flattened feature map), E experts, K experts kept per example, L stacked MoE layers, V rows of the embedding table.

What is imported from here loads TensorFlow; `import ada_ensemble_tf` alone does not.
"""

import importlib
from typing import TYPE_CHECKING, Any

import data_pipelines  # noqa: F401, first of all, because it quiets TensorFlow in commands

if TYPE_CHECKING:
    from ada_ensemble_tf.inference.runs import TrainedRun, load_run
    from ada_ensemble_tf.inference.tables import TableEncoder
    from ada_ensemble_tf.models import MODELS, AdaEnsemble
    from data_pipelines.read.dataset import open_data, pair

__version__ = "0.1.0"

_PLACES = {
    "MODELS": "ada_ensemble_tf.models",
    "AdaEnsemble": "ada_ensemble_tf.models",
    "TableEncoder": "ada_ensemble_tf.inference.tables",
    "TrainedRun": "ada_ensemble_tf.inference.runs",
    "load_run": "ada_ensemble_tf.inference.runs",
    "open_data": "data_pipelines.read.dataset",
    "pair": "data_pipelines.read.dataset",
}
"""By name: the module that a name of this package comes from once it is asked for."""

__all__ = ["MODELS", "AdaEnsemble", "TableEncoder", "TrainedRun", "__version__", "load_run", "open_data", "pair"]


def __getattr__(name: str) -> Any:
    """Imports a name when it is first asked for."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; models are in {__name__}.models")
    return getattr(importlib.import_module(_PLACES[name]), name)
