"""Training in stages: when each of a model's weights is trained, and how fast."""

import bisect
import dataclasses
import itertools
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from ada_ensemble_tf.updates.bilevel import BilevelModel

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage of training; a model lists its stages in `BilevelModel.stages`.

    Args:
        name: for logs.
        steps: its length in weight updates; 0 skips the stage. The last stage lasts to the end of training, whatever
            its length.
        frozen: the variables of W that the stage does not change, nor their optimiser state. Gates are never frozen.
        learning_rate_factor: multiplies the learning rates of W.
    """

    name: str
    steps: int = 0
    frozen: Sequence[keras.Variable] = ()
    learning_rate_factor: float = 1.0


class StageSchedule:
    """Puts a model into the stage that its step belongs to.

    The stage is a function of the step, and a stage makes its changes only at its first step, so a resumed run equals
    an uninterrupted one. Construct this before a checkpoint is restored: stages multiply the learning rates that the
    optimisers have at that time.

    At its start a stage sets the optimisers' learning rates. If it trains variables that no earlier stage trained,
    their optimiser counts updates from 0 again. Adam divides its averages by 1 - beta^t; with the count of earlier
    stages it would treat new averages as old and make steps several times the learning rate.

    Moving statistics are measurements, not weights. They follow their inputs in all stages; otherwise inference would
    use other statistics than training.

    Args:
        model: a compiled `BilevelModel`.
        stride: weight updates per call of the train step; a stage ends with a whole call.
    """

    def __init__(self, model: "BilevelModel", stride: int = 1):
        self._model = model
        self._current: int | None = None
        self.stages: tuple[Stage, ...] = tuple(model.stages())
        ends = itertools.accumulate(-(-stage.steps // stride) * stride for stage in self.stages[:-1])
        self._ends = list(ends)
        self._groups = [model.groups()[name] for name in ("embedding", "weight") if name in model.groups()]
        self._rates = [learning_rate(optimizer) for optimizer, _ in self._groups] if self.stages else []

    @property
    def last_start(self) -> int:
        """The step at which the last stage begins."""
        return self._ends[-1] if self._ends else 0

    def index(self, step: int) -> int:
        """The index of the stage that the weight update after `step` belongs to."""
        return bisect.bisect_right(self._ends, step)

    def next_end(self, step: int) -> int | None:
        """The step at which the stage at `step` ends; None for the last stage and for models without stages."""
        index = self.index(step)
        return self._ends[index] if index < len(self._ends) else None

    def describe(self, step: int) -> str:
        """A description of the stage at `step` for logs."""
        index = self.index(step)
        return f"stage {index + 1} of {len(self.stages)}, {self.stages[index].name}"

    def enter(self, step: int) -> bool:
        """Puts the model into the stage at `step`.

        Returns:
            Whether the model was in another stage, so that functions traced earlier would train the wrong variables.
        """
        index = self.index(step)
        if not self.stages or index == self._current:
            return False
        self._current = index
        stage = self.stages[index]
        self._model.freeze(stage.frozen)
        for (optimizer, _), rate in zip(self._groups, self._rates, strict=True):
            set_learning_rate(optimizer, rate * stage.learning_rate_factor)
        if step == (self._ends[index - 1] if index else 0):
            self._restart_counts(index)
        logger.info("step %d  %s", step, self.describe(step))
        return True

    def _restart_counts(self, index: int) -> None:
        starts = [0, *self._ends]
        before = [stage for stage, a, b in zip(self.stages[:index], starts, starts[1:], strict=False) if b > a]
        waiting = set.intersection(*({id(v) for v in stage.frozen} for stage in before)) if before else set()
        joining = waiting - {id(v) for v in self.stages[index].frozen}
        for optimizer, variables in self._groups:
            if any(id(v) in joining for v in variables):
                optimizer.iterations.assign(0)


def learning_rate(optimizer: keras.optimizers.Optimizer) -> float:
    """The current learning rate of an optimiser; also works under a `tf.distribute` strategy."""
    return float(tf.convert_to_tensor(optimizer.learning_rate))


def set_learning_rate(optimizer: keras.optimizers.Optimizer, rate: float) -> None:
    """Sets an optimiser's learning rate without changing the variables.

    An optimiser whose state determines the variables at a scale set by the learning rate, as FTRL's does, must have a
    method `rescale_state(new_rate)`.
    """
    if np.float32(learning_rate(optimizer)) == np.float32(rate):
        return
    if hasattr(optimizer, "rescale_state"):
        optimizer.rescale_state(rate)
    optimizer.learning_rate = rate
