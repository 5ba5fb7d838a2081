"""Which trial comes next in a grid search, and which one is kept."""

import itertools
import math
import random
from collections.abc import Sequence
from typing import Any

from optuna.trial import FrozenTrial

from ada_ensemble_tf.configs.search_spaces import Choice, LogUniform, Range, Space

LOG_POINTS = 3
"""Values of a logarithmic range in a grid: both ends and the geometric mean."""
LAYERS, EXPERTS = "model.num_layers", "model.k"


def grid(space: Space, seed: int) -> list[dict[str, Any]]:
    """All points of a space's grid, in random order, so that the first n are a random sample of them.

    Example:
        >>> sorted(point["x"] for point in grid({"x": LogUniform(1e-4, 1e-2)}, seed=0))
        [0.0001, 0.001, 0.01]
    """
    points = [dict(zip(space, values, strict=True)) for values in itertools.product(*map(_values, space.values()))]
    random.Random(seed).shuffle(points)
    return points


def _values(allowed: Range) -> Sequence[Any]:
    if isinstance(allowed, Choice):
        return allowed.values
    if isinstance(allowed, LogUniform):
        low, high = math.log10(allowed.low), math.log10(allowed.high)
        inner = [10.0 ** (low + (high - low) * i / (LOG_POINTS - 1)) for i in range(1, LOG_POINTS - 1)]
        # Rounded, so that a rate of 0.001 is not 0.0010000000000000002.
        return [allowed.low, *(float(f"{value:.6g}") for value in inner), allowed.high]
    return range(allowed.low, allowed.high + 1, allowed.step)


def kept(trials: Sequence[FrozenTrial], tolerance: float, sign: float = 1.0) -> FrozenTrial:
    """The trial with the best value, or one with fewer experts or layers whose value is hardly worse.

    AdaEnsemble (arXiv 2301.08353, section 4.1.4) reports the model with fewer experts or layers if its AUC is within
    0.02 % of that with one more expert or layer. So, from the number of layers and experts of the best value, this
    takes one layer or expert away as long as the best trial of the smaller model is within `tolerance` of the best of
    the larger one. A smaller model that was not tried ends it. Models that search no K keep the best value.

    Args:
        trials: complete trials, their config values in the attribute "values"; at least one.
        tolerance: how much of the value one layer or expert may be worth, such as 0.0002 of AUC.
        sign: 1 if a larger value is better, -1 if a smaller one is.
    """

    def score(trial: FrozenTrial) -> float:
        return sign * value(trial)

    best: dict[tuple[int, int], FrozenTrial] = {}
    for trial in trials:
        values = trial.user_attrs["values"]
        size = (values.get(LAYERS, 0), values.get(EXPERTS, 0))
        if size not in best or score(trial) > score(best[size]):
            best[size] = trial
    size = max(best, key=lambda size: score(best[size]))
    while size[1]:
        smaller = [one for one in ((size[0] - 1, size[1]), (size[0], size[1] - 1)) if one in best]
        close = [one for one in smaller if score(best[one]) >= score(best[size]) - tolerance]
        if not tolerance or not close:
            break
        size = max(close, key=lambda one: score(best[one]))
    return best[size]


def value(trial: FrozenTrial) -> float:
    """What a complete trial was judged by: the validation metric of `config.monitor`."""
    assert trial.value is not None, "a complete trial has a value"
    return trial.value
