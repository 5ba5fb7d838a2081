"""Evaluation on the validation split, and early stopping."""

import logging
import math
from typing import TYPE_CHECKING

import tensorflow as tf

from ada_ensemble_tf.trained.config_ranges import MONITORED
from ada_ensemble_tf.training.hooks.base import Hook, Stop

if TYPE_CHECKING:
    from ada_ensemble_tf.training.loop import TrainingLoop

logger = logging.getLogger(__name__)


class Evaluation(Hook):
    """Evaluates at each stop, records the best value of a validation metric, and stops if it no longer improves.

    A value counts only once K and depth have reached their final values, because only then does it measure what gets
    served. For a model with stages, it counts from the start of the last stage: a stage that leaves parts untrained
    ends after its steps, not by early stopping.

    Args:
        patience: the number of evaluations without a better value after which training ends.
        monitor: the metric, one of `config_ranges.MONITORED`.

    Attributes:
        best_value: the metric's best value so far.
        best_step: the step of the best value.
        evaluations_since_best: the number of evaluations since then.
    """

    def __init__(self, patience: int, monitor: str = "auc"):
        self._patience, self._monitor, self._monitored = patience, monitor, MONITORED[monitor]
        self.best_value = tf.Variable(-self._monitored.sign * math.inf, name="best_value", dtype=tf.float64)
        self.best_step = tf.Variable(0, name="best_step", dtype=tf.int64)
        self.evaluations_since_best = tf.Variable(0, name="evaluations_since_best", dtype=tf.int64)
        self.state = (self.best_value, self.best_step, self.evaluations_since_best)

    def begin(self, loop: "TrainingLoop") -> None:
        self._model, self._evaluator, self._stages = loop.model, loop.evaluator, loop.plan.stages
        self._plan = loop.plan

    def at_stop(self, stop: Stop):
        self._model.bring_up_to_date()
        scored = self._evaluator.score("validation")
        stop.labels, stop.probabilities, results = scored.labels, scored.probabilities, scored.metrics()
        stop.figures |= results | {"flops_per_example": scored.flops}
        annealed = stop.step >= self._model.annealing_steps()
        value, sign = results[self._monitor], self._monitored.sign
        stop.better = annealed and sign * value > sign * float(self.best_value.numpy())
        if stop.better:
            self.best_value.assign(value)
            self.best_step.assign(stop.step)
            self.evaluations_since_best.assign(0)
        elif annealed:
            self.evaluations_since_best.assign_add(1)
        stop.standing = "best so far" if stop.better else self._standing(stop.step, annealed)

    def enough(self):
        return int(self.evaluations_since_best.numpy()) >= self._patience

    def end(self):
        if self.enough():
            written = self._monitored.written
            logger.info("stopped early: no better validation %s in %d evaluations", written, self._patience)
        elif int(self.best_step.numpy()) == self._plan.max_steps:
            logger.info("still improving at the last step: raise %s", self._plan.limit)

    def _standing(self, step: int, annealed: bool) -> str:
        if annealed:
            return f"best {self._monitored.written} {float(self.best_value.numpy()):.5f}"
        return self._stages.describe(step - 1) if self._stages.stages else "annealing"
