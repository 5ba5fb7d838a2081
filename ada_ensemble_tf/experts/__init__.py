"""Feature-interaction experts by name. A new one: its file, its line in EXPERTS, its test."""

from ada_ensemble_tf.experts.attention import AttentionExpert
from ada_ensemble_tf.experts.base import Expert
from ada_ensemble_tf.experts.convolution import ConvolutionExpert
from ada_ensemble_tf.experts.cross import CrossExpert
from ada_ensemble_tf.experts.dense import DenseExpert
from ada_ensemble_tf.experts.gated_dense import GatedDenseExpert
from ada_ensemble_tf.experts.polynomial import PolynomialExpert

EXPERTS: dict[str, type[Expert]] = {
    "dense": DenseExpert,
    "gated_dense": GatedDenseExpert,
    "cross": CrossExpert,
    "polynomial": PolynomialExpert,
    "convolution": ConvolutionExpert,
    "attention": AttentionExpert,
}


def make_expert(name: str, num_fields: int) -> Expert:
    """The expert registered as `name`, with its default sizes.

    Raises:
        ValueError: if there is no such expert.
    """
    if name not in EXPERTS:
        raise ValueError(f"there is no expert {name!r}; there are {', '.join(sorted(EXPERTS))}")
    return EXPERTS[name](num_fields, name=name)


__all__ = ["EXPERTS", "Expert", "make_expert"] + sorted(cls.__name__ for cls in EXPERTS.values())
