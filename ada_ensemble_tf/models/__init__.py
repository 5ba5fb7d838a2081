"""Models by name. A new one: its file, its line here, its test."""

from ada_ensemble_tf.models.ada_ensemble import AdaEnsemble
from ada_ensemble_tf.models.autoint import AutoInt
from ada_ensemble_tf.models.base import CTRModel, model_inputs
from ada_ensemble_tf.models.d_moe import DMoE
from ada_ensemble_tf.models.dcn import DCN
from ada_ensemble_tf.models.dcn_v2 import DCNV2
from ada_ensemble_tf.models.deep_crossing import DeepCrossing
from ada_ensemble_tf.models.deepfm import DeepFM
from ada_ensemble_tf.models.dense_moe import DenseMoE
from ada_ensemble_tf.models.dhen import DHEN
from ada_ensemble_tf.models.dnn import DNN
from ada_ensemble_tf.models.ensemble import Ensemble
from ada_ensemble_tf.models.factorization_machine import FactorizationMachine
from ada_ensemble_tf.models.fibinet import FiBiNET
from ada_ensemble_tf.models.forward import Forward
from ada_ensemble_tf.models.hilomoe import HiLoMoE
from ada_ensemble_tf.models.logistic_regression import LogisticRegression
from ada_ensemble_tf.models.moe_dlrm import MoEDLRM
from ada_ensemble_tf.models.multi_embedding_moe import MultiEmbeddingMoE
from ada_ensemble_tf.models.pnn import PNN
from ada_ensemble_tf.models.sequential_fusion import SequentialFusion
from ada_ensemble_tf.models.single_expert import SingleExpert
from ada_ensemble_tf.models.wide_and_deep import WideAndDeep
from ada_ensemble_tf.models.xdeepfm import XDeepFM
from ada_ensemble_tf.models.xdeepint import XDeepInt
from ada_ensemble_tf.plugins import registry

_ALL = (
    AdaEnsemble,
    AutoInt,
    DMoE,
    DCN,
    DCNV2,
    DeepCrossing,
    DeepFM,
    DenseMoE,
    DHEN,
    DNN,
    Ensemble,
    FactorizationMachine,
    FiBiNET,
    HiLoMoE,
    LogisticRegression,
    MoEDLRM,
    MultiEmbeddingMoE,
    PNN,
    SequentialFusion,
    SingleExpert,
    WideAndDeep,
    XDeepFM,
    XDeepInt,
)
MODELS: dict[str, type[CTRModel]] = registry({model.registered_name: model for model in _ALL})


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
    "DHEN",
    "DNN",
    "MODELS",
    "PNN",
    "AdaEnsemble",
    "AutoInt",
    "CTRModel",
    "DMoE",
    "DeepCrossing",
    "DeepFM",
    "DenseMoE",
    "Ensemble",
    "FactorizationMachine",
    "FiBiNET",
    "Forward",
    "HiLoMoE",
    "LogisticRegression",
    "MoEDLRM",
    "MultiEmbeddingMoE",
    "SequentialFusion",
    "SingleExpert",
    "WideAndDeep",
    "XDeepFM",
    "XDeepInt",
    "model_class",
    "model_inputs",
]
