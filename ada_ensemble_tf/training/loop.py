"""The training loop: steps, and hooks around them."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import tensorflow as tf

from ada_ensemble_tf.devices.distribution import Distribution
from ada_ensemble_tf.evaluation.evaluator import Evaluator
from ada_ensemble_tf.evaluation.unknown_ids import UnknownIds
from ada_ensemble_tf.training.graph_loop import graph_loop
from ada_ensemble_tf.training.hooks import Checkpoints, Evaluation, Hook, Profile, Progress, Steps, Stop, TensorBoard
from ada_ensemble_tf.training.plan import Plan
from ada_ensemble_tf.training.stopping import StopRequest
from data_pipelines.errors import Stopped, UserError
from data_pipelines.read.dataset import PreparedData


class NonFiniteError(UserError):
    """Training met an infinity or NaN; the message names step and tensor."""


class TrainingLoop:
    """Trains a compiled model on prepared data inside a working directory.

    After every `config.eval_every` weight updates (at least once an epoch) it stops, and its hooks evaluate on the
    validation split and save all state: weights, optimisers, random state, early stopping; the position in the data
    follows from the step. Run again on the same directory, it goes on from there. The best weights by validation AUC
    are kept apart, see `hooks.Evaluation`.

    Args:
        model: a compiled `CTRModel`.
        data: the prepared data.
        config: see `experiments/defaults.py`.
        workdir: where checkpoints and TensorBoard files go.
        distribution: who trains together; the model must be made within its scope. All workers need the directory,
            and the chief alone writes there. By default there is one device.
        hooks: of your own, see `hooks.Hook`. They come after the evaluation and before what reports and saves: what
            they put into a stop's figures is shown, and their state is saved.
        stop: whether this process was asked to end.

    Raises:
        UserError: if the replicas cannot have equal parts of a batch.
    """

    def __init__(
        self,
        model,
        data: PreparedData,
        config,
        workdir: Path,
        distribution: Distribution | None = None,
        hooks: Sequence[Hook] = (),
        stop: StopRequest | None = None,
    ):
        self.model, self.data, self.config = model, data, config
        self.distribution = distribution or Distribution()
        self._stop = stop or StopRequest()
        self.plan = Plan(model, data, config, self.distribution)
        self.evaluator = Evaluator(model, data, config, self.distribution, self.plan.gate_source)
        self.evaluation, self.progress = Evaluation(config.patience), Progress(config.batch_size)
        board = workdir / "tensorboard"
        self.hooks = (
            Profile(board, config.profile),
            self.evaluation,
            *hooks,
            self.progress,
            TensorBoard(board),
            Checkpoints(workdir / "checkpoints"),
        )
        for hook in self.hooks:
            hook.begin(self)
        # Functions have been traced: time tells the speed.
        self._timed = False
        if self.distribution.replicas > 1:
            model.distribute(self.distribution.replicate)
            self.distribution.spread_seeds(model)

    @property
    def step(self) -> int:
        """Weight updates that were made so far."""
        return int(self.model.step.numpy())

    def finished(self) -> bool:
        """Whether there is nothing left to train."""
        return self.step >= self.plan.max_steps or any(hook.enough() for hook in self.hooks)

    def run(self) -> None:
        """Trains to the end and leaves the model at its best weights.

        Raises:
            NonFiniteError: the loss or another tensor was not finite.
            UserError: the record files are damaged, or annealing would not end, or the last stage not begin, within
                `config.max_epochs`.
            Stopped: this worker or another was asked to end.
        """
        self.plan.check()
        self.distribution.follow(lambda: self.step)
        with self._stop.in_steps():
            self._train_to_the_end()
            # Nor do others read the best weights before the chief has written them.
            if self.distribution.stop_asked_anywhere():
                raise Stopped(
                    f"asked to end by {self._stop.why or 'another worker'} after step {self.step} of "
                    f"{self.plan.max_steps}, of which there is a checkpoint; the same command goes on from it"
                )
        for hook in self.hooks:
            hook.end()

    def _train_to_the_end(self) -> None:
        """Trains until nothing is left to train, or it is asked to stop."""
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
        """Trains to the next report, or for as many steps as a hook wants, and tells the hooks.

        Returns:
            Whether a worker was asked to end; it is then the same on all.
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
            # It has come to an end once its results are here.
            place = int(bad)
        if place >= 0:
            raise NonFiniteError(
                f"step {int(bad_step)}: not finite: {self.model.finite.names[place]}; training stopped, the last "
                "checkpoint is kept. Lower the learning rates, or look at the data with this step in mind"
            )
        seconds, step = time.monotonic() - started, self.step
        means = {name: float(value) for name, value in logs.items()}
        done = Steps(step, step - before, seconds, means, self._timed and not around)
        self._timed = True
        for hook in self.hooks:
            hook.after_steps(done)
        return int(asked) > 0
