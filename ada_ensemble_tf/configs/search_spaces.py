"""The config keys that tuning may change, and their ranges.

A range applies to every model whose config has the key, so a new model needs no line here. Two names are not keys:
`LAYERS` and `WIDTH` together set `model.hidden_units`, dense layers of equal width.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from ada_ensemble_tf.moe.expert_lists import layer_sizes


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of several values."""

    values: tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class LogUniform:
    """A number between two bounds, uniform in its logarithm."""

    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Int:
    """A whole number from `low` to `high` in steps of `step`."""

    low: int
    high: int
    step: int = 1


Range = Choice | LogUniform | Int
Space = dict[str, Range]

HIDDEN_UNITS = "model.hidden_units"
LAYERS, WIDTH = f"{HIDDEN_UNITS}.layers", f"{HIDDEN_UNITS}.width"

_DENSE: Space = {
    "weight_optimizer.learning_rate": LogUniform(1e-4, 1e-3),
    "model.l2": LogUniform(1e-4, 1e-3),
    LAYERS: Int(1, 4),
    WIDTH: Int(128, 1024, 128),
    "model.num_layers": Int(1, 4),
    "model.k": Int(1, 3),
    "model.gate.reduction": Choice((4, 8, 16)),
    "model.expert_load_weight": Choice((0.0, 0.001, 0.01)),
}
_EMBEDDINGS_ONLY: Space = {"embedding_optimizer.learning_rate": LogUniform(1e-2, 1e-1)}
_ADAM_RATES = LogUniform(1e-4, 3e-3)
_NORMALIZATIONS = ("model.normalization", "model.embedding_normalization")
_WIDE: Space = {
    "weight_optimizer.learning_rate": LogUniform(1e-4, 3e-3),
    "gate_optimizer.learning_rate": LogUniform(1e-4, 3e-3),
    "model.dropout": Choice((0.0, 0.2, 0.5)),
}
_WIDE_EMBEDDINGS: Space = {
    "model.dimension": Choice((16, 40)),
    "embedding_optimizer.learning_rate": LogUniform(1e-2, 3e-1),
    "embedding_optimizer.l2": LogUniform(1e-2, 30.0),
}
_SMALL: Space = {
    "weight_optimizer.learning_rate": LogUniform(3e-4, 3e-3),
    "gate_optimizer.learning_rate": LogUniform(3e-4, 3e-3),
    "model.expert_load_weight": Choice((0.0, 0.001, 0.01)),
    "model.l2": LogUniform(1e-5, 1e-3),
    "model.dropout": Choice((0.0, 0.2, 0.3, 0.5)),
    LAYERS: Int(1, 3),
    WIDTH: Choice((128, 256, 400)),
    "model.num_layers": Int(1, 3),
    "model.dimension": Choice((16, 32)),
    "embedding_optimizer.learning_rate": LogUniform(2e-2, 2e-1),
    "embedding_optimizer.l2": LogUniform(0.1, 3.0),
}


def paper(config: ConfigDict) -> Space:
    """The ranges that AdaEnsemble's authors searched (arXiv 2301.08353, section 4.1.4), for the keys in `config`.

    They do not say whether they searched these, which decide comparisons on other data: whether each model normalises,
    the weight of the experts' load, and the embeddings' learning rate of models other than the linear ones. Models
    without dense kernels (no `model.l2`) have only the last.
    """
    if "l2" not in config.model:
        return _known(_EMBEDDINGS_ONLY, config)
    # Adam has one rate for weights and embeddings there.
    return _known(_DENSE | ({} if _by_adam(config) else _EMBEDDINGS_ONLY), config)


def wide(config: ConfigDict) -> Space:
    """`paper` with higher learning rates, and with dropout, the embeddings' size and their optimiser."""
    return _known((_DENSE | _WIDE if "l2" in config.model else {}) | _WIDE_EMBEDDINGS, config)


def small(config: ConfigDict) -> Space:
    """For tens of thousands of rows on a laptop: sizes that train in a minute, and regularisation."""
    if "l2" in config.model:
        return _known(_SMALL, config)
    return _known({name: _SMALL[name] for name in _SMALL if not name.startswith("weight_optimizer")}, config)


SPACES: dict[str, Callable[[ConfigDict], Space]] = {"paper": paper, "wide": wide, "small": small}


def overrides(sample: Mapping[str, Any]) -> dict[str, Any]:
    """The config keys and values that a sample from a space sets."""
    values = {key: value for key, value in sample.items() if key not in (LAYERS, WIDTH)}
    if LAYERS in sample:
        values[HIDDEN_UNITS] = (sample[WIDTH],) * sample[LAYERS]
    return values


def present(space: Space, config: ConfigDict) -> dict[str, Any]:
    """The current values in `config`, for the names whose range contains them."""
    sample = {}
    for name, allowed in space.items():
        if name in (LAYERS, WIDTH):
            units = config.model.hidden_units
            value = len(units) if name == LAYERS else units[0] if len(set(units)) == 1 else None
        else:
            value = _lookup(config, name)
        if value is not None and _holds(allowed, value):
            sample[name] = value
    return sample


def _known(space: Space, config: ConfigDict) -> Space:
    space = space | {key: _normalize_or_not(config, key) for key in _NORMALIZATIONS}
    if _by_adam(config) and "embedding_optimizer.learning_rate" in space:
        space["embedding_optimizer.learning_rate"] = _ADAM_RATES
    known = {name: allowed for name, allowed in space.items() if _applies(name, config)}
    kept = known.get("model.k")
    if isinstance(kept, Int) and "experts" in config.model:
        known["model.k"] = Int(1, min(kept.high, *layer_sizes(config.model.experts)))
    return known


def _by_adam(config: ConfigDict) -> bool:
    return config.embedding_optimizer.name == "sparse_adam"


def _normalize_or_not(config: ConfigDict, key: str) -> Choice:
    """The kind that the config has, or batch normalisation if it has none; or none."""
    kind = _lookup(config, key)
    return Choice(("batch" if kind in (None, "none") else kind, "none"))


def _applies(name: str, config: ConfigDict) -> bool:
    if name in (LAYERS, WIDTH, "model.k"):
        # Having no dense layers or no k is part of the model, not the start of a range.
        return bool(_lookup(config, "model.k" if name == "model.k" else HIDDEN_UNITS))
    if name == "gate_optimizer.learning_rate" and "gate" not in config.model:
        return False
    return _lookup(config, name) is not None


def _lookup(config: ConfigDict, key: str) -> Any:
    place = config
    for name in key.split("."):
        if not isinstance(place, ConfigDict) or name not in place:
            return None
        place = place[name]
    return place


def _holds(allowed: Range, value: Any) -> bool:
    if isinstance(allowed, Choice):
        return value in allowed.values
    steps_fit = not isinstance(allowed, Int) or (value - allowed.low) % allowed.step == 0
    return allowed.low <= value <= allowed.high and steps_fit
