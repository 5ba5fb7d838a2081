"""Evaluation on the validation split, and early stopping."""

import logging
from typing import TYPE_CHECKING

import tensorflow as tf

from ada_ensemble_tf.evaluation import metrics
from ada_ensemble_tf.training.hooks.base import Hook, Stop

if TYPE_CHECKING:
    from ada_ensemble_tf.training.loop import TrainingLoop

logger = logging.getLogger(__name__)


class Evaluation(Hook):
    """Evaluates at each stop, records the best validation AUC, and stops training if it no longer improves.

    An AUC counts only once K and depth have reached their final values, because only then does it measure what gets
    served. For a model with stages, it counts from the start of the last stage: a stage that leaves parts untrained
    ends after its steps, not by early stopping.

    Args:
        patience: the number of evaluations without a better AUC after which training ends.

    Attributes:
        best_auc: the best validation AUC so far.
        best_step: the step of the best AUC.
        evaluations_since_best: the number of evaluations since then.
    """

    def __init__(self, patience: int):
        self._patience = patience
        self.best_auc = tf.Variable(-1.0, name="best_auc", dtype=tf.float64)
        self.best_step = tf.Variable(0, name="best_step", dtype=tf.int64)
        self.evaluations_since_best = tf.Variable(0, name="evaluations_since_best", dtype=tf.int64)
        self.state = (self.best_auc, self.best_step, self.evaluations_since_best)

    def begin(self, loop: "TrainingLoop") -> None:
        self._model, self._evaluator, self._stages = loop.model, loop.evaluator, loop.plan.stages

    def at_stop(self, stop: Stop):
        self._model.bring_up_to_date()
        stop.labels, stop.probabilities, flops = self._evaluator.score("validation")
        results = metrics.all_metrics(stop.labels, stop.probabilities)
        stop.figures |= results | {"flops_per_example": flops}
        annealed = stop.step >= self._model.annealing_steps()
        stop.better = annealed and results["auc"] > float(self.best_auc.numpy())
        if stop.better:
            self.best_auc.assign(results["auc"])
            self.best_step.assign(stop.step)
            self.evaluations_since_best.assign(0)
        elif annealed:
            self.evaluations_since_best.assign_add(1)
        stop.standing = "best so far" if stop.better else self._standing(stop.step, annealed)

    def enough(self):
        return int(self.evaluations_since_best.numpy()) >= self._patience

    def end(self):
        if self.enough():
            logger.info("stopped early: no better validation AUC in %d evaluations", self._patience)

    def _standing(self, step: int, annealed: bool) -> str:
        if annealed:
            return f"best {float(self.best_auc.numpy()):.5f}"
        return self._stages.describe(step - 1) if self._stages.stages else "annealing"
