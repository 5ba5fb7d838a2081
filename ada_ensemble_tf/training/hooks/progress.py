"""Shows the progress of a training and measures its speed."""

import logging
import time
from typing import TYPE_CHECKING

import tensorflow as tf

from ada_ensemble_tf.training.hooks.base import Hook, Steps, Stop
from data_pipelines.progress import duration
from data_pipelines.terminal import TerminalLine

if TYPE_CHECKING:
    from ada_ensemble_tf.training.loop import TrainingLoop

logger = logging.getLogger(__name__)


class Progress(Hook):
    """Logs a line for each report and each evaluation; on a terminal, reports refresh one line.

    Args:
        batch_size: rows per weight update, over all workers.
    """

    def __init__(self, batch_size: int):
        self._batch_size = batch_size
        self._seconds = tf.Variable(0.0, name="seconds", dtype=tf.float64)
        self._timed_steps = tf.Variable(0, name="timed_steps", dtype=tf.int64)
        self.state = (self._seconds, self._timed_steps)
        self._line = TerminalLine()

    def begin(self, loop: "TrainingLoop") -> None:
        self._max_steps = loop.plan.max_steps

    def after_steps(self, steps: Steps):
        if steps.timed:
            self._seconds.assign_add(steps.seconds)
            self._timed_steps.assign_add(steps.count)
        losses = f"loss {steps.logs['loss']:.5f}  log loss {steps.logs['log_loss']:.5f}"
        where, pace = f"step {steps.step}/{self._max_steps}", self._pace(steps)
        if self._line.shown:
            # What a narrow terminal has no room for comes last.
            self._line.show(steps.step / self._max_steps, f"{where}  {pace}  {losses}")
        else:
            logger.info("%s  %s  %s", where, losses, pace)
        self._evaluation_began = time.monotonic()

    def at_stop(self, stop: Stop):
        logger.info(
            "step %d  validation AUC %.5f  LogLoss %.5f  (%s, %.1f s)",
            stop.step, stop.figures["auc"], stop.figures["logloss"], stop.standing,
            time.monotonic() - self._evaluation_began,
        )  # fmt: skip

    def interrupted(self, step: int):
        self._line.end()

    def end(self):
        self._line.end()

    def _pace(self, steps: Steps) -> str:
        """The speed and the time left, or where neither can be told yet, what took the time."""
        seconds, count = steps.seconds, steps.count
        if not steps.timed:
            seconds, count = float(self._seconds.numpy()), int(self._timed_steps.numpy())
        if not seconds:
            return f"{duration(steps.seconds)}, most of it to build the graph"
        left = (self._max_steps - steps.step) / count * seconds
        return f"{count * self._batch_size / seconds:.0f} examples/s  at most {duration(left)} left"

    def examples_per_second(self) -> float:
        """Training rows per second; NaN if no time was measured.

        Leaves out evaluations and the first report of the run and of each stage, whose time includes tracing.
        """
        seconds = float(self._seconds.numpy())
        return float(self._timed_steps.numpy()) * self._batch_size / seconds if seconds else float("nan")
