"""Feature-interaction experts by name. A new one: its file, its line in EXPERTS, its test."""

from collections.abc import Mapping
from typing import Any

import keras

from ada_ensemble_tf.arguments import ArgumentError, check_arguments, constructor_parameters
from ada_ensemble_tf.experts.attention import AttentionExpert
from ada_ensemble_tf.experts.base import Expert
from ada_ensemble_tf.experts.cin import CINExpert
from ada_ensemble_tf.experts.convolution import ConvolutionExpert
from ada_ensemble_tf.experts.cross import CrossExpert
from ada_ensemble_tf.experts.dense import DenseExpert
from ada_ensemble_tf.experts.gated_dense import GatedDenseExpert
from ada_ensemble_tf.experts.gated_dnn import GatedDNNExpert
from ada_ensemble_tf.experts.generalized_interaction import GeneralizedInteractionExpert
from ada_ensemble_tf.experts.identity import IdentityExpert
from ada_ensemble_tf.experts.interaction_machine import InteractionMachineExpert
from ada_ensemble_tf.experts.kernel_product import (
    MatrixKernelProductExpert,
    ScalarKernelProductExpert,
    VectorKernelProductExpert,
)
from ada_ensemble_tf.experts.logarithmic import LogarithmicExpert
from ada_ensemble_tf.experts.polynomial import PolynomialExpert
from ada_ensemble_tf.experts.residual_dnn import ResidualDNNExpert
from ada_ensemble_tf.experts.self_gated_dnn import SelfGatedDNNExpert
from ada_ensemble_tf.experts.subspace_crossing import SubspaceCrossingExpert
from ada_ensemble_tf.experts.vector_cross import VectorCrossExpert
from ada_ensemble_tf.experts.vector_dense import VectorDenseExpert
from ada_ensemble_tf.plugins import registry

EXPERTS: dict[str, type[Expert]] = registry(
    {
        "dense": DenseExpert,
        "gated_dense": GatedDenseExpert,
        "cross": CrossExpert,
        "polynomial": PolynomialExpert,
        "convolution": ConvolutionExpert,
        "attention": AttentionExpert,
        "cin": CINExpert,
        "interaction_machine": InteractionMachineExpert,
        "generalized_interaction": GeneralizedInteractionExpert,
        "kernel_product_matrix": MatrixKernelProductExpert,
        "kernel_product_vector": VectorKernelProductExpert,
        "kernel_product_scalar": ScalarKernelProductExpert,
        "logarithmic": LogarithmicExpert,
        "gated_dnn": GatedDNNExpert,
        "self_gated_dnn": SelfGatedDNNExpert,
        "residual_dnn": ResidualDNNExpert,
        "subspace_crossing": SubspaceCrossingExpert,
        "vector_dense": VectorDenseExpert,
        "vector_cross": VectorCrossExpert,
        "identity": IdentityExpert,
    }
)


def expert_class(name: str) -> type[Expert]:
    """The expert called `name`: that of `EXPERTS`, or a subclass of `Expert` that Keras knows by it, "package>Class".

    Raises:
        ArgumentError: if there is none.
    """
    found = EXPERTS.get(name) or keras.saving.get_registered_object(name)
    if not isinstance(found, type) or not issubclass(found, Expert):
        raise ArgumentError("name", f"be among {', '.join(sorted(EXPERTS))}", name)
    return found


def expert_options(name: str) -> list[str]:
    """The options of an expert: its constructor's arguments other than the number of fields.

    Raises:
        ArgumentError: if there is no such expert.

    Example:
        >>> expert_options("attention")
        ['inner_size', 'heads', 'activation']
    """
    return [option for option in constructor_parameters(expert_class(name), Expert) if option != "num_fields"]


def check_expert(name: str, options: Mapping[str, Any]) -> None:
    """Checks that there is an expert `name` with these options, each in its range.

    Raises:
        ArgumentError: if not; it names the option, or "name".
    """
    known = expert_options(name)
    if unknown := sorted(options.keys() - set(known)):
        exists = f"it has {', '.join(known)}" if known else "it has none"
        requirement = f"be left out: expert {name!r} has no option {unknown[0]}; {exists}"
        raise ArgumentError(unknown[0], requirement, options[unknown[0]])
    check_arguments(constructor_parameters(expert_class(name), Expert), options)


def make_expert(name: str, num_fields: int, layer_name: str | None = None, **options: Any) -> Expert:
    """The expert called `name`; its layer's name is `name` unless `layer_name` is given.

    Args:
        name: one of `EXPERTS`, or a registered class, see `expert_class`.
        num_fields: F.
        layer_name: the layer's name.
        **options: any of `expert_options(name)`.

    Raises:
        ArgumentError: if there is no such expert, it does not have an option, or an option is out of its range.

    Example:
        >>> make_expert("cin", num_fields=3, feature_maps=[8])(tf.ones([2, 12]), tf.ones([2, 12])).shape
        TensorShape([2, 12])
    """
    check_expert(name, options)
    return expert_class(name)(num_fields, name=layer_name or name, **options)


__all__ = ["EXPERTS", "Expert", "check_expert", "expert_class", "expert_options", "make_expert"] + sorted(
    cls.__name__ for cls in EXPERTS.values()
)
