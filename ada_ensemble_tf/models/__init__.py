"""Models by name. A new one: its file, its line in MODELS, its test, its function in experiments/."""

from ada_ensemble_tf.models.ada_ensemble import AdaEnsemble
from ada_ensemble_tf.models.base import CTRModel, Forward
from ada_ensemble_tf.models.dcn import DCN
from ada_ensemble_tf.models.dcn_v2 import DCNV2
from ada_ensemble_tf.models.deep_crossing import DeepCrossing
from ada_ensemble_tf.models.deepfm import DeepFM
from ada_ensemble_tf.models.dnn import DNN
from ada_ensemble_tf.models.factorization_machine import FactorizationMachine
from ada_ensemble_tf.models.logistic_regression import LogisticRegression
from ada_ensemble_tf.models.pnn import PNN
from ada_ensemble_tf.models.wide_and_deep import WideAndDeep

MODELS: dict[str, type[CTRModel]] = {
    "ada_ensemble": AdaEnsemble,
    "dcn": DCN,
    "dcn_v2": DCNV2,
    "deep_crossing": DeepCrossing,
    "deepfm": DeepFM,
    "dnn": DNN,
    "factorization_machine": FactorizationMachine,
    "logistic_regression": LogisticRegression,
    "pnn": PNN,
    "wide_and_deep": WideAndDeep,
}


def model_class(name: str) -> type[CTRModel]:
    """The model registered as `name`.

    Raises:
        ValueError: if there is none.
    """
    if name not in MODELS:
        raise ValueError(f"there is no model {name!r}; there are {', '.join(sorted(MODELS))}")
    return MODELS[name]


__all__ = [
    "DCN",
    "DCNV2",
    "DNN",
    "MODELS",
    "PNN",
    "AdaEnsemble",
    "CTRModel",
    "DeepCrossing",
    "DeepFM",
    "FactorizationMachine",
    "Forward",
    "LogisticRegression",
    "WideAndDeep",
    "model_class",
]
