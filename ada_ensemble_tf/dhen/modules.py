"""Interaction modules by name. A new one: its file, its line in MODULES, its test."""

from typing import Annotated, Any

from ada_ensemble_tf.arguments import Among, Names
from ada_ensemble_tf.dhen.attention import AttentionModule
from ada_ensemble_tf.dhen.base import InteractionModule
from ada_ensemble_tf.dhen.convolution import ConvolutionModule
from ada_ensemble_tf.dhen.deep_cross import DeepCrossModule
from ada_ensemble_tf.dhen.dlrm import DLRMModule
from ada_ensemble_tf.dhen.linear import LinearModule
from ada_ensemble_tf.plugins import registry

MODULES: dict[str, type[InteractionModule]] = registry(
    {
        "attention": AttentionModule,
        "convolution": ConvolutionModule,
        "deep_cross": DeepCrossModule,
        "dlrm": DLRMModule,
        "linear": LinearModule,
    }
)

ModuleNames = Annotated[Names, Among(MODULES, once=True)]


def make_module(name: str, num_outputs: int, **arguments: Any) -> InteractionModule:
    """The module registered as `name`, which gives `num_outputs` embeddings; `arguments` are its own.

    Raises:
        ValueError: if there is no such module, or it has no such arguments.

    Example:
        >>> make_module("dlrm", num_outputs=2, hidden_units=(8,))(tf.ones([1, 3, 4])).shape
        TensorShape([1, 2, 4])
    """
    if name not in MODULES:
        raise ValueError(f"there is no interaction module {name!r}; choose one of {', '.join(sorted(MODULES))}")
    return MODULES[name](num_outputs, name=name, **arguments)
