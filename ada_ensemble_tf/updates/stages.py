"""Training in stages: which of a model's weights are trained when, and how fast."""

import bisect
import dataclasses
import itertools
import logging
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage of training; a model lists its own in `BilevelModel.stages`.

    Args:
        name: for logs.
        steps: weight updates that it lasts; 0 leaves it out. The last stage lasts to the end of training, so it has
            none to say.
        frozen: what of W the stage leaves as it is, the optimisers' state of it included. Gates are never frozen.
        learning_rate_factor: of the learning rates of W.
    """

    name: str
    steps: int = 0
    frozen: Sequence[keras.Variable] = ()
    learning_rate_factor: float = 1.0


class StageSchedule:
    """Puts a model into the stage that its step is in.

    The stage is a function of the step, and what a stage changes at its start happens at that very step only, so a
    resumed run has what an uninterrupted one has. Make it before a checkpoint is restored: the learning rates that
    the optimisers have then are those that stages multiply.

    At its start a stage gives the optimisers their learning rates. Where it trains variables that no stage before it
    did, their optimiser counts its updates from 0 again: Adam divides young averages by 1 - beta^t, and with the count
    of earlier stages it would take them for old, and make steps several times the learning rate.

    Moving statistics are measurements and not weights: they follow their inputs in all stages, or inference would see
    other statistics than training.

    Args:
        model: a compiled `BilevelModel`.
        stride: weight updates a call of the train step; a stage ends with a whole call.
    """

    def __init__(self, model, stride: int = 1):
        self._model, self._current = model, None
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
        """Place of the stage that the weight update after `step` belongs to."""
        return bisect.bisect_right(self._ends, step)

    def next_end(self, step: int) -> int | None:
        """Where the stage at `step` ends; None for the last, and for models without stages."""
        index = self.index(step)
        return self._ends[index] if index < len(self._ends) else None

    def describe(self, step: int) -> str:
        """The stage at `step` as a person reads it."""
        index = self.index(step)
        return f"stage {index + 1} of {len(self.stages)}, {self.stages[index].name}"

    def enter(self, step: int) -> bool:
        """Puts the model into the stage at `step`.

        Returns:
            Whether it was in another, so that functions traced before train the wrong variables.
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
    """The present learning rate of an optimiser, under a `tf.distribute` strategy too."""
    return float(tf.convert_to_tensor(optimizer.learning_rate))


def set_learning_rate(optimizer: keras.optimizers.Optimizer, rate: float) -> None:
    """Gives an optimiser a learning rate, leaving variables where they are.

    Optimisers that hold a variable through a state of which the learning rate is the scale, as FTRL does, say so by a
    method `rescale_state(new_rate)`.
    """
    if np.float32(learning_rate(optimizer)) == np.float32(rate):
        return
    if hasattr(optimizer, "rescale_state"):
        optimizer.rescale_state(rate)
    optimizer.learning_rate = rate
