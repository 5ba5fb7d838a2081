"""DHEN's interaction modules and the layer that ensembles them."""

from ada_ensemble_tf.dhen.attention import AttentionModule
from ada_ensemble_tf.dhen.base import InteractionModule
from ada_ensemble_tf.dhen.convolution import ConvolutionModule
from ada_ensemble_tf.dhen.deep_cross import DeepCrossModule
from ada_ensemble_tf.dhen.dlrm import DLRMModule
from ada_ensemble_tf.dhen.layer import ENSEMBLES, DHENLayer
from ada_ensemble_tf.dhen.linear import LinearModule
from ada_ensemble_tf.dhen.list_projection import ListProjection
from ada_ensemble_tf.dhen.modules import MODULES, ModuleNames, make_module

__all__ = [
    "ENSEMBLES",
    "MODULES",
    "AttentionModule",
    "ConvolutionModule",
    "DHENLayer",
    "DLRMModule",
    "DeepCrossModule",
    "InteractionModule",
    "LinearModule",
    "ListProjection",
    "ModuleNames",
    "make_module",
]
