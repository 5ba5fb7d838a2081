"""Writes TensorBoard's files at each report and each evaluation."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from ada_ensemble_tf.training.graph_loop import WAIT
from ada_ensemble_tf.training.hooks.base import Hook, Steps, Stop
from ada_ensemble_tf.training.monitoring import dashboard
from ada_ensemble_tf.training.monitoring.tensorboard import TensorBoardWriter

if TYPE_CHECKING:
    from ada_ensemble_tf.training.loop import TrainingLoop

CORRELATION_ROWS = 2048
"""Validation rows for TensorBoard's correlation of experts: enough to follow it, and cheap."""


class TensorBoard(Hook):
    """Writes reports and evaluations, see `training.monitoring.tensorboard`; only the chief writes.

    Args:
        folder: the folder for the files.
    """

    def __init__(self, folder: Path):
        self._folder = folder

    def begin(self, loop: "TrainingLoop") -> None:
        self._model, self._batch_size, self._evaluator = loop.model, loop.config.batch_size, loop.evaluator
        self._config = loop.config.to_dict()
        self._stages, self._is_chief = loop.plan.stages, loop.distribution.is_chief
        self._distribution = loop.distribution
        self._writer = TensorBoardWriter(self._folder if self._is_chief else None)
        self._laid_out = False
        self._dashboard = dashboard.Dashboard(loop.model, loop.data.schema, loop.distribution)
        self._shown_rows = functools.cache(lambda: loop.evaluator.first_rows("validation", dashboard.ROWS))

    def after_steps(self, steps: Steps):
        if not self._laid_out:
            self._writer.lay_out(self._model, self._config)
            self._laid_out = True
        figures = dict(steps.logs) | {"examples_per_second": steps.count * self._batch_size / steps.seconds}
        if self._stages.stages:
            figures["schedule/stage"] = float(self._stages.index(steps.step - 1) + 1)
        if WAIT in figures:
            figures[WAIT] /= steps.seconds
        self._writer.training(steps.step, figures, self._model)

    def at_stop(self, stop: Stop):
        # Workers that share tables look rows up together.
        if not self._is_chief and self._distribution.mesh is None:
            return
        layers = self._evaluator.expert_correlation("validation", CORRELATION_ROWS)
        correlation = {f"experts/correlation/{layer}": value["absolute"] for layer, value in layers.items()}
        assert stop.labels is not None and stop.probabilities is not None, "an evaluation comes first"
        scalars, images = self._dashboard(stop.labels, stop.probabilities, self._shown_rows())
        self._writer.validation(stop.step, stop.figures | correlation | scalars, images)

    def interrupted(self, step: int):
        self._writer.close()

    def end(self):
        self._writer.close()
