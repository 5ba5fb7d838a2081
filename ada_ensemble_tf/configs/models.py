"""Each model's own keys, `config.model`, as its constructor declares them.

python -m ada_ensemble_tf.configs.models [MODEL ..]

prints the keys of all models or of the given ones: name, default, meaning.
"""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from ml_collections import ConfigDict, FieldReference

from ada_ensemble_tf.models import MODELS
from ada_ensemble_tf.models.ada_ensemble import RELEASED_EXPERTS
from ada_ensemble_tf.models.keys import keys_of
from ada_ensemble_tf.moe.expert_lists import layer_sizes

WITH_PRIORS = ("ada_ensemble", "dense_moe")
"""Models with priors for the shares of experts and exits, see `set_priors`."""


def model_config(name: str) -> ConfigDict:
    """`config.model` for a model, with the defaults of its constructor.

    AdaEnsemble's k is at most the number of experts in any layer, unless k is set explicitly. Keys that may be None, or
    that are one expert, take any literal.

    Raises:
        ValueError: if the model does not exist.
    """
    if name not in MODELS:
        raise ValueError(f"there is no config for model {name!r}; there are {', '.join(sorted(MODELS))}")
    values: dict[str, Any] = {"name": name}
    for key, declared in keys_of(MODELS[name]).items():
        outer, dot, option = key.rpartition(".")
        place = values.setdefault(outer, {}) if dot else values
        # For a reference of this type the command line reads any literal, including None.
        place[option] = (
            FieldReference(declared.default, field_type=object) if declared.any_literal else declared.default
        )
    config = ConfigDict(values)
    if "k" in config and "experts" in config:
        set_k(config, config.k)
    return config


def set_k(model: ConfigDict, k: int) -> None:
    """Sets K of `config.model`: k, or the number of experts if that is smaller, until the command line sets it."""
    model.k = derived(k, lambda k, experts: min(k, *layer_sizes(experts)), model.get_ref("experts"))


def set_priors(model: ConfigDict, depth_prior: tuple[float, ...]) -> None:
    """Sets the priors of AdaEnsemble's paper, or of a data set, for a model in `WITH_PRIORS`.

    The priors apply to the released experts and to as many layers as `depth_prior` has values. If the command line
    changes experts or layers, priors are uniform unless it sets them too.

    Args:
        model: `config.model`.
        depth_prior: the expected share of each exit.
    """

    def for_released(prior: tuple[float, ...], experts: tuple[str, ...]) -> tuple[float, ...] | None:
        return prior if tuple(experts) == RELEASED_EXPERTS else None

    def for_as_many(prior: tuple[float, ...], layers: int) -> tuple[float, ...] | None:
        return prior if len(prior) == layers else None

    model.expert_prior = derived((0.2, 0.2, 0.4, 0.1, 0.1), for_released, model.get_ref("experts"))
    model.depth_prior = derived(depth_prior, for_as_many, model.get_ref("num_layers"))


class _Operation(NamedTuple):
    fn: Callable[..., Any]
    args: tuple[FieldReference, ...]


def derived(value: Any, function: Callable[..., Any], other: FieldReference) -> FieldReference:
    """A key whose value is function(value, other key) until it is set explicitly."""
    kind = type(value) if isinstance(value, int) else object
    return FieldReference(value, field_type=kind, op=_Operation(function, (other,)))


def main(names: list[str]) -> None:
    """Prints the table of keys."""
    for name in names or sorted(MODELS):
        print(f"{name}\n" + "".join(f"  {row}\n" for row in key_lines(name)))


def key_lines(name: str) -> list[str]:
    """One line per key of a model: name, default, meaning."""
    return [f"{key}={declared.default!r}: {declared.sentence}" for key, declared in keys_of(MODELS[name]).items()]


if __name__ == "__main__":
    main(sys.argv[1:])
