"""Feature-interaction experts by name. A new one: its file, its line in EXPERTS, its test."""

from typing import Annotated

from ada_ensemble_tf.arguments import Among, Names
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

ExpertName = Annotated[str, Among(EXPERTS)]
ExpertNames = Annotated[Names, Among(EXPERTS, once=True)]


def make_expert(name: str, num_fields: int, layer_name: str | None = None) -> Expert:
    """The expert registered as `name`, with its default sizes; its layer's name is `name` unless `layer_name` is given.

    Raises:
        ValueError: if there is no such expert.

    Example:
        >>> make_expert("cross", num_fields=3)(tf.ones([2, 12]), tf.ones([2, 12])).shape
        TensorShape([2, 12])
    """
    if name not in EXPERTS:
        raise ValueError(f"there is no expert {name!r}; choose one of {', '.join(sorted(EXPERTS))}")
    return EXPERTS[name](num_fields, name=layer_name or name)


__all__ = ["EXPERTS", "Expert", "ExpertName", "ExpertNames", "make_expert"] + sorted(
    cls.__name__ for cls in EXPERTS.values()
)
