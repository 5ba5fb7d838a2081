"""The training loop: steps, reports, evaluation, early stopping, checkpoints, resuming."""

import contextlib
import functools
import logging
import math
import time
from pathlib import Path

import tensorflow as tf

from ada_ensemble_tf.devices.distribution import Distribution
from ada_ensemble_tf.evaluation import metrics
from ada_ensemble_tf.evaluation.evaluator import Evaluator
from ada_ensemble_tf.evaluation.unknown_ids import UnknownIds
from ada_ensemble_tf.trained.checkpoint import Checkpoint
from ada_ensemble_tf.training.graph_loop import WAIT, graph_loop
from ada_ensemble_tf.training.monitoring import dashboard
from ada_ensemble_tf.training.monitoring.tensorboard import TensorBoardWriter
from ada_ensemble_tf.updates.stages import StageSchedule
from data_pipelines.errors import UserError
from data_pipelines.read.dataset import PreparedData, pair

logger = logging.getLogger(__name__)

CORRELATION_ROWS = 2048
"""Validation rows of which TensorBoard shows how alike the experts are: enough to follow it, and little work."""


class NonFiniteError(UserError):
    """Training met an infinity or NaN; the message names step and tensor."""


class TrainingLoop:
    """Trains a compiled model on prepared data inside a working directory.

    After every `config.eval_every` weight updates (at least once an epoch) it evaluates on the validation split and
    saves all state: weights, optimisers, random state, early stopping; the position in the data follows from the
    step. Run again on the same directory, it goes on from there. The best weights by validation AUC are kept apart,
    and counted only once K and depth have reached their final values, for only then are they what gets served. Of a
    model with stages they are counted from the start of the last: a stage that leaves parts untrained ends when its
    steps are over, and not by early stopping.

    Args:
        model: a compiled `CTRModel`.
        data: the prepared data.
        config: see `experiments/defaults.py`.
        workdir: where checkpoints and TensorBoard files go.
        distribution: who trains together; the model must be made within its scope. All workers need the directory,
            and the chief alone writes there. By default there is one device.

    Raises:
        UserError: if the replicas cannot have equal parts of a batch.
    """

    def __init__(self, model, data: PreparedData, config, workdir: Path, distribution: Distribution | None = None):
        self.model, self.data, self.config = model, data, config
        self.distribution = distribution or Distribution()
        self.worker_batch = self.distribution.worker_batch(config.batch_size)
        self.bilevel = config.training == "bilevel" and bool(model.gate_variables)
        # Weight updates a call of the train step.
        self.stride = config.weight_steps if self.bilevel else 1
        self.steps_per_epoch = math.ceil(self._train_rows() / config.batch_size)
        self.max_steps = self._whole_calls(config.max_epochs * self.steps_per_epoch)
        self.eval_every = self._whole_calls(min(config.eval_every, self.steps_per_epoch))
        self.best_auc = tf.Variable(-1.0, name="best_auc", dtype=tf.float64)
        self.best_step = tf.Variable(0, name="best_step", dtype=tf.int64)
        self.evaluations_since_best = tf.Variable(0, name="evaluations_since_best", dtype=tf.int64)
        self.seconds = tf.Variable(0.0, name="seconds", dtype=tf.float64)
        self.timed_steps = tf.Variable(0, name="timed_steps", dtype=tf.int64)
        state = [self.best_auc, self.best_step, self.evaluations_since_best, self.seconds, self.timed_steps]
        everything = model.variables + model.optimizer_variables + state
        self.last = Checkpoint(workdir / "checkpoints" / "last", everything)
        self.best = Checkpoint(workdir / "checkpoints" / "best", model.variables)
        self.board = TensorBoardWriter(workdir / "tensorboard" if self.distribution.is_chief else None)
        self._steps_to_profile = self._whole_calls(config.profile) if config.profile else 0
        gate_source = config.gate_source if self.bilevel else None
        self.evaluator = Evaluator(model, data, config, self.distribution, gate_source)
        self._dashboard = dashboard.Dashboard(model, data.schema)
        self._shown_rows = functools.cache(lambda: self.evaluator.first_rows("validation", dashboard.ROWS))
        self._who = {"worker": self.distribution.worker, "workers": self.distribution.workers}
        self._reported_before = False
        self.stages = StageSchedule(model, self.stride)
        if self.last.exists:
            self.last.restore()
            logger.info("resuming at step %d of %d", self._step(), self.max_steps)
        if self.distribution.replicas > 1:
            model.distribute(self.distribution.replicate)
            self.distribution.spread_seeds(model)

    def finished(self) -> bool:
        """Whether there is nothing left to train."""
        return self._step() >= self.max_steps or self._out_of_patience()

    def run(self) -> None:
        """Trains to the end and leaves the model at its best weights.

        Raises:
            NonFiniteError: the loss or another tensor was not finite.
            UserError: the record files are damaged, or annealing would not end, or the last stage not begin, within
                `config.max_epochs`.
        """
        if self.stages.last_start >= self.max_steps:
            raise UserError(
                f"the last stage begins at step {self.stages.last_start}, training ends at {self.max_steps}: "
                "lower config.model.stage_epochs or raise config.max_epochs"
            )
        if self.model.annealing_steps() > self.max_steps:
            raise UserError(
                f"annealing ends at step {self.model.annealing_steps()}, training at {self.max_steps}: "
                "lower config.model.anneal_epochs or raise config.max_epochs"
            )
        self.board.lay_out(self.model)
        run_calls = batches = None
        while not self.finished():
            if batches is None:
                with self.data.reading():
                    batches = iter(self._batches())
            if self.stages.enter(self._step()) or run_calls is None:
                timed = not self.config.deterministic
                run_calls = graph_loop(self.model.training_logs, UnknownIds(self.data.schema), timed)
                self._reported_before = False
            self._train_until(self._next_stop(), run_calls, batches)
            self._evaluate()
            if self.distribution.is_chief:
                self.last.save(self._step())
        if self._out_of_patience():
            logger.info("stopped early: no better validation AUC in %d evaluations", self.config.patience)
        # Others must not read it before the chief has written it.
        self.distribution.agree(True)
        self.best.restore()
        self.board.close()

    def examples_per_second(self) -> float:
        """Training rows a second; NaN before the second report.

        Evaluations do not count, nor does the first report of a run or stage, which includes tracing.
        """
        seconds = float(self.seconds.numpy())
        return float(self.timed_steps.numpy()) * self.config.batch_size / seconds if seconds else float("nan")

    def _gate_share_of_train(self) -> float:
        return self.config.gate_share if self.bilevel and self.config.gate_source == "train" else 0.0

    def _train_rows(self) -> int:
        return self.data.part_rows("train", self._gate_share_of_train(), 1.0)

    def _whole_calls(self, steps: float) -> int:
        return max(1, math.ceil(steps / self.stride)) * self.stride

    def _step(self) -> int:
        return int(self.model.step.numpy())

    def _out_of_patience(self) -> bool:
        return int(self.evaluations_since_best.numpy()) >= self.config.patience

    def _next_stop(self) -> int:
        """The step of the next evaluation: the next of those evenly apart, or the end of a stage or of training."""
        next_evaluation = (self._step() // self.eval_every + 1) * self.eval_every
        return min(next_evaluation, self.stages.next_end(self._step()) or self.max_steps, self.max_steps)

    def _batches(self) -> tf.data.Dataset:
        config, step = self.config, self._step()
        first_row, share = step * config.batch_size, self._gate_share_of_train()
        train = self.data.train(self.worker_batch, config.seed, first_row, gate_share=share, **self._who)
        if not self.bilevel:
            return train
        gate_rows = step // self.stride * config.batch_size
        source, share = config.gate_source, config.gate_share
        gate = self.data.gate(self.worker_batch, config.seed, gate_rows, source, share, **self._who)
        return pair(train, gate, self.stride)

    def _train_until(self, target: int, run_calls, batches) -> None:
        every = self._whole_calls(self.config.report_every)
        while (step := self._step()) < target:
            steps = min(every - step % every, target - step)
            # After a report: tracing is done.
            profiled = self._reported_before and self._steps_to_profile > 0
            if profiled:
                steps = min(steps, self._steps_to_profile)
                self._steps_to_profile -= steps
                # As of a report with tracing, its time says nothing of the speed.
                self._reported_before = False
            started = time.monotonic()
            with self.data.reading(), self.board.profile() if profiled else contextlib.nullcontext():
                logs, bad, bad_step = run_calls(batches, tf.constant(steps // self.stride))
                place = int(bad)
            if place >= 0:
                raise NonFiniteError(
                    f"step {int(bad_step)}: not finite: {self.model.finite.names[place]}; training stopped, the last "
                    "checkpoint is kept. Lower the learning rates, or look at the data with this step in mind"
                )
            self._report(steps, time.monotonic() - started, {name: float(value) for name, value in logs.items()})

    def _report(self, steps: int, seconds: float, logs: dict[str, float]) -> None:
        rate = steps * self.config.batch_size / seconds
        step = self._step()
        if self._reported_before:
            self.seconds.assign_add(seconds)
            self.timed_steps.assign_add(steps)
        self._reported_before = True
        left = (self.max_steps - step) / steps * seconds
        logger.info(
            "step %d/%d  loss %.5f  log loss %.5f  %.0f examples/s  at most %s left",
            step, self.max_steps, logs["loss"], logs["log_loss"], rate, duration(left),
        )  # fmt: skip
        stage = {"schedule/stage": float(self.stages.index(step - 1) + 1)} if self.stages.stages else {}
        speed = {"examples_per_second": rate} | ({WAIT: logs[WAIT] / seconds} if WAIT in logs else {})
        self.board.training(step, logs | stage | speed, self.model)

    def _evaluate(self) -> None:
        started = time.monotonic()
        self.model.bring_up_to_date()
        labels, probabilities, flops = self.evaluator.score("validation")
        layers = self.evaluator.expert_correlation("validation", CORRELATION_ROWS)
        step, results = self._step(), metrics.all_metrics(labels, probabilities)
        correlation = {f"experts/correlation/{layer}": value["absolute"] for layer, value in layers.items()}
        shown = results | {"flops_per_example": flops} | correlation
        if self.distribution.is_chief:
            scalars, images = self._dashboard(labels, probabilities, self._shown_rows())
            self.board.validation(step, shown | scalars, images)
        annealed = step >= self.model.annealing_steps()
        better = annealed and results["auc"] > float(self.best_auc.numpy())
        if better:
            self.best_auc.assign(results["auc"])
            self.best_step.assign(step)
            self.evaluations_since_best.assign(0)
            if self.distribution.is_chief:
                self.best.save(step)
        elif annealed:
            self.evaluations_since_best.assign_add(1)
        logger.info(
            "step %d  validation AUC %.5f  LogLoss %.5f  (%s, %.1f s)",
            step, results["auc"], results["logloss"],
            "best so far" if better else self._standing(annealed),
            time.monotonic() - started,
        )  # fmt: skip

    def _standing(self, annealed: bool) -> str:
        if annealed:
            return f"best {float(self.best_auc.numpy()):.5f}"
        return self.stages.describe(self._step() - 1) if self.stages.stages else "annealing"


def duration(seconds: float) -> str:
    """Seconds as a person reads them: 45 s, 3 min 20 s, 2 h 05 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
