"""The training loop: steps, reports, evaluation, early stopping, checkpoints, resuming."""

import logging
import math
import time
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from ada_ensemble_tf import metrics
from ada_ensemble_tf.training.checkpoint import Checkpoint
from ada_ensemble_tf.training.expert_correlation import ExpertCorrelation
from ada_ensemble_tf.training.scoring import Scorer
from ada_ensemble_tf.training.stages import StageSchedule
from ada_ensemble_tf.training.tensorboard import TensorBoardWriter
from data_pipelines.dataset import PreparedData, pair
from data_pipelines.errors import DataError

logger = logging.getLogger(__name__)

CORRELATION_ROWS = 2048
"""Validation rows of which TensorBoard shows how alike the experts are: enough to follow it, and little work."""


class NonFiniteError(DataError):
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

    Raises:
        DataError: if `config.training` is neither "bilevel" nor "joint".
    """

    def __init__(self, model, data: PreparedData, config, workdir: Path):
        self.model, self.data, self.config = model, data, config
        if config.training not in ("bilevel", "joint"):
            raise DataError(f"config.training must be 'bilevel' or 'joint'; received {config.training!r}")
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
        self.board = TensorBoardWriter(workdir / "tensorboard")
        self.scorer = Scorer(model)
        self.expert_correlation = ExpertCorrelation(model)
        self._reported_before = False
        self.stages = StageSchedule(model, self.stride)
        if self.last.exists:
            self.last.restore()
            logger.info("resuming at step %d of %d", self._step(), self.max_steps)

    def finished(self) -> bool:
        """Whether there is nothing left to train."""
        return self._step() >= self.max_steps or self._out_of_patience()

    def run(self) -> None:
        """Trains to the end and leaves the model at its best weights.

        Raises:
            NonFiniteError: the loss or another tensor was not finite.
            DataError: the record files are damaged, or annealing would not end, or the last stage not begin, within
                `config.max_epochs`.
        """
        if self.stages.last_start >= self.max_steps:
            raise DataError(
                f"the last stage begins at step {self.stages.last_start}, training ends at {self.max_steps}: "
                "lower config.model.stage_epochs or raise config.max_epochs"
            )
        if self.model.annealing_steps() > self.max_steps:
            raise DataError(
                f"annealing ends at step {self.model.annealing_steps()}, training at {self.max_steps}: "
                "lower config.model.anneal_epochs or raise config.max_epochs"
            )
        run_calls = batches = None
        while not self.finished():
            if batches is None:
                with self.data.reading():
                    batches = iter(self._batches())
            if self.stages.enter(self._step()) or run_calls is None:
                run_calls, self._reported_before = self._compiled_calls(), False
            self._train_until(self._next_stop(), run_calls, batches)
            self._evaluate()
            self.last.save(self._step())
        if self._out_of_patience():
            logger.info("stopped early: no better validation AUC in %d evaluations", self.config.patience)
        self.best.restore()
        self.board.close()

    def examples_per_second(self) -> float:
        """Training rows a second, less evaluation and the first report, or a stage's, which has the tracing; NaN if
        that was all."""
        seconds = float(self.seconds.numpy())
        return float(self.timed_steps.numpy()) * self.config.batch_size / seconds if seconds else float("nan")

    def validation_batches(self) -> tf.data.Dataset:
        """The validation rows that early stopping reads: those the gates have not learned from."""
        used = self.config.gate_share if self.bilevel and self.config.gate_source == "validation" else 0.0
        return self.data.evaluation("validation", self.config.eval_batch_size, gate_share=used)

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
        train = self.data.train(
            config.batch_size, config.seed, step * config.batch_size, gate_share=self._gate_share_of_train()
        )
        if not self.bilevel:
            return train
        gate_rows = step // self.stride * config.batch_size
        gate = self.data.gate(config.batch_size, config.seed, gate_rows, config.gate_source, config.gate_share)
        return pair(train, gate, self.stride)

    def _compiled_calls(self):
        step = tf.function(self.model.training_logs)

        @tf.function
        def run_calls(batches: Iterator, calls: tf.Tensor):
            """(mean logs of up to `calls` train steps, place of the first bad tensor, its step); ends at a bad one."""
            names = step.get_concrete_function(batches.element_spec).structured_outputs
            totals = {name: tf.constant(0.0) for name in names if name not in ("first_bad", "bad_step")}
            done, bad, bad_step = tf.constant(0), tf.constant(-1), tf.constant(0, tf.int64)
            while done < calls and bad < 0:
                logs = step(next(batches))
                bad, bad_step = logs["first_bad"], logs["bad_step"]
                totals = {name: total + logs[name] for name, total in totals.items()}
                done += 1
            return {name: total / tf.cast(done, tf.float32) for name, total in totals.items()}, bad, bad_step

        return run_calls

    def _train_until(self, target: int, run_calls, batches) -> None:
        every = self._whole_calls(self.config.report_every)
        while (step := self._step()) < target:
            steps = min(every - step % every, target - step)
            started = time.monotonic()
            with self.data.reading():
                logs, bad, bad_step = run_calls(batches, tf.constant(steps // self.stride))
            if (place := int(bad)) >= 0:
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
        self.board.training(step, logs | stage | {"examples_per_second": rate}, self.model)

    def _evaluate(self) -> None:
        started = time.monotonic()
        with self.data.reading():
            labels, probabilities, flops = self.scorer.score(self.validation_batches())
            layers = self.expert_correlation(self.validation_batches(), CORRELATION_ROWS)
        step, results = self._step(), metrics.all_metrics(labels, probabilities)
        correlation = {f"experts/correlation/{layer}": value["absolute"] for layer, value in layers.items()}
        self.board.validation(step, results | {"flops_per_example": flops} | correlation)
        annealed = step >= self.model.annealing_steps()
        better = annealed and results["auc"] > float(self.best_auc.numpy())
        if better:
            self.best_auc.assign(results["auc"])
            self.best_step.assign(step)
            self.evaluations_since_best.assign(0)
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
