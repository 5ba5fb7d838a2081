"""The training loop: steps with hooks around them."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import tensorflow as tf
from ml_collections import ConfigDict

from ada_ensemble_tf.devices.distribution import Distribution
from ada_ensemble_tf.evaluation.evaluator import Evaluator
from ada_ensemble_tf.evaluation.unknown_ids import UnknownIds
from ada_ensemble_tf.models import CTRModel
from ada_ensemble_tf.training.beginnings import NEW_WEIGHTS, Beginning
from ada_ensemble_tf.training.graph_loop import graph_loop
from ada_ensemble_tf.training.hooks import (
    Averaging,
    Checkpoints,
    Evaluation,
    Hook,
    MovingAverage,
    Profile,
    Progress,
    Steps,
    Stop,
    TensorBoard,
)
from ada_ensemble_tf.training.plan import Plan
from ada_ensemble_tf.training.stopping import StopRequest
from data_pipelines.errors import Stopped, UserError
from data_pipelines.read.dataset import PreparedData


class NonFiniteError(UserError):
    """Training met an infinity or NaN; the message names the step and the tensor."""


class TrainingLoop:
    """Trains a compiled model on prepared data inside a working directory.

    It stops every `config.eval_every` weight updates, at least once per epoch. At each stop its hooks evaluate on the
    validation split and save all state: weights, optimisers, random state, early stopping. The position in the data
    follows from the step. A second run on the same directory resumes there. The best weights by `config.monitor` are
    stored separately, see `hooks.Evaluation`.

    Args:
        model: a compiled `CTRModel`.
        data: the prepared data.
        config: see `ada_ensemble_tf/configs/defaults.py`.
        workdir: the directory for checkpoints and TensorBoard files.
        distribution: the replicas and workers that train together; the model must be made within its scope. All workers
            need access to `workdir`; only the chief writes there. By default there is one device.
        hooks: your own hooks, see `hooks.Hook`. They run after the evaluation and before the hooks that report and
            save, so what they put into a stop's figures is shown and their state is saved.
        stop: says whether this process was asked to end.
        beginning: where the first weights come from.

    Raises:
        UserError: if a batch cannot be split equally among the replicas.
    """

    def __init__(
        self,
        model: CTRModel,
        data: PreparedData,
        config: ConfigDict,
        workdir: Path,
        distribution: Distribution | None = None,
        hooks: Sequence[Hook] = (),
        stop: StopRequest | None = None,
        beginning: Beginning = NEW_WEIGHTS,
    ):
        self.model, self.data, self.config = model, data, config
        self.distribution = distribution or Distribution()
        self._stop = stop or StopRequest()
        self.plan = Plan(model, data, config, self.distribution, beginning.start)
        self.evaluator = self.make_evaluator()
        self.evaluation, self.progress = Evaluation(config.patience, config.monitor), Progress(config.batch_size)
        board = workdir / "tensorboard"
        self.hooks = (
            Profile(board, config.profile),
            Averaging(config.average_last),
            MovingAverage(config.ema_momentum > 0.0),
            self.evaluation,
            *hooks,
            self.progress,
            TensorBoard(board),
            Checkpoints(workdir / "checkpoints", beginning.source),
        )
        for hook in self.hooks:
            hook.begin(self)
        # Whether functions have been traced, so that time measures the speed.
        self._timed = False
        if self.distribution.replicas > 1:
            model.distribute(self.distribution.replicate)
            self.distribution.spread_seeds(model)

    def make_evaluator(self) -> Evaluator:
        """An evaluator of the model as it is now; the loop's own was traced at its first evaluation."""
        return Evaluator(self.model, self.data, self.config, self.distribution, self.plan.gate_source)

    @property
    def step(self) -> int:
        """The number of weight updates so far."""
        return int(self.model.step.numpy())

    def finished(self) -> bool:
        """Whether there is nothing left to train."""
        return self.step >= self.plan.max_steps or any(hook.enough() for hook in self.hooks)

    def run(self) -> None:
        """Trains to the end and leaves the model at its best weights.

        Raises:
            NonFiniteError: if the loss or another tensor was not finite.
            UserError: if the record files are damaged, or if annealing would not end or the last stage would not begin
                within `config.max_epochs`.
            Stopped: if this worker or another was asked to end.
        """
        self.plan.check()
        self.distribution.follow(lambda: self.step)
        with self._stop.in_steps():
            self._train_to_the_end()
            # No worker reads the best weights before the chief has written them.
            if self.distribution.stop_asked_anywhere():
                raise Stopped(
                    f"asked to end by {self._stop.why or 'another worker'} after step {self.step} of "
                    f"{self.plan.max_steps}; a checkpoint was written, and the same command goes on from it"
                )
        for hook in self.hooks:
            hook.end()

    def _train_to_the_end(self) -> None:
        """Trains until nothing is left to train or a worker is asked to stop."""
        run_calls = elements = None
        while not self.finished():
            if elements is None:
                with self.data.reading():
                    elements = iter(self.plan.elements(self.step))
            if self.plan.stages.enter(self.step) or run_calls is None:
                unknown_ids, clock = UnknownIds(self.data.schema), not self.config.deterministic
                run_calls = graph_loop(self.model.training_logs, unknown_ids, self.distribution, clock)
                self._timed = False
            target, asked = self.plan.next_stop(self.step), False
            while self.step < target and not asked:
                asked = self._train(run_calls, elements)
            if self.step < target:
                for hook in self.hooks:
                    hook.interrupted(self.step)
            else:
                stop = Stop(target)
                for hook in self.hooks:
                    hook.at_stop(stop)
            if asked:
                return

    def _train(self, run_calls: Callable, elements: Iterator) -> bool:
        """Trains to the next report, or for as many steps as a hook allows, and calls the hooks.

        Returns:
            Whether a worker was asked to end; the same on all workers.
        """
        self.distribution.doing("in training")
        before = self.step
        wanted = [hook.most_steps(self._timed) for hook in self.hooks]
        steps = min([self.plan.next_report(before) - before, *(most for most in wanted if most is not None)])
        around = [context for hook in self.hooks if (context := hook.around_steps()) is not None]
        started = time.monotonic()
        with self.data.reading(), contextlib.ExitStack() as stack:
            for context in around:
                stack.enter_context(context)
            logs, bad, bad_step, asked = run_calls(elements, tf.constant(steps // self.plan.stride))
            # Reading a result waits for the steps to finish.
            place = int(bad)
        if place >= 0:
            raise NonFiniteError(
                f"step {int(bad_step)}: not finite: {self.model.finite.names[place]}; training stopped; the last "
                "checkpoint is kept. Lower the learning rates, or check the data of this step"
            )
        seconds, step = time.monotonic() - started, self.step
        means = {name: float(value) for name, value in logs.items()}
        done = Steps(step, step - before, seconds, means, self._timed and not around)
        self._timed = True
        for hook in self.hooks:
            hook.after_steps(done)
        return int(asked) > 0
