"""The hook of the training loop, and the data that it receives."""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from ada_ensemble_tf.training.loop import TrainingLoop


@dataclasses.dataclass(frozen=True)
class Steps:
    """Weight updates since the hooks were last called.

    Attributes:
        step: the last update.
        count: the number of updates.
        seconds: the time they took.
        logs: means over the updates, by name; see `training.graph_loop`.
        timed: whether `seconds` measures the speed: functions had been traced before, and nothing was profiled.
    """

    step: int
    count: int
    seconds: float
    logs: Mapping[str, float]
    timed: bool


@dataclasses.dataclass
class Stop:
    """A stop of the training for an evaluation. Hooks read what earlier hooks have put into it.

    Attributes:
        step: where training stopped.
        figures: measured values, by their TensorBoard name.
        labels: `[N]`, labels of the validation rows.
        probabilities: `[N]`, the model's predictions for them.
        better: whether the weights are the best so far.
        standing: how the weights compare with the best, for the progress line.
        put_back: puts back the training's own weights where the model was evaluated with others.
    """

    step: int
    figures: dict[str, float] = dataclasses.field(default_factory=dict)
    labels: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    better: bool = False
    standing: str = ""
    put_back: Callable[[], None] = lambda: None


class Hook:
    """Code that runs around a training's steps. Override the methods you need; the others do nothing.

    For example, this hook writes the embedding table's largest norm to TensorBoard at each evaluation:

        class LargestNorm(Hook):
            def begin(self, loop):
                self._table = loop.model.embedding_variables[0]

            def at_stop(self, stop):
                stop.figures["embeddings/largest_norm"] = float(tf.reduce_max(tf.norm(self._table, axis=1)))

        train(config, data, workdir, hooks=[LargestNorm()])

    Every worker has its own hooks, and all workers call them in the same order. Code that needs the other workers must
    run on all of them; code that writes files must run only if `loop.distribution.is_chief`.
    """

    state: Sequence[tf.Variable] = ()
    """State that is saved and restored with the model. Its names must differ from those of other hooks."""

    def begin(self, loop: "TrainingLoop") -> None:
        """Called once, before the state from an earlier process is restored."""

    def most_steps(self, timed: bool) -> int | None:
        """The most weight updates to make before the hooks are called again; None sets no limit.

        Args:
            timed: whether the updates' time will measure the speed, see `Steps`.
        """

    def around_steps(self) -> contextlib.AbstractContextManager | None:
        """A context for the next steps to run in, or None. Steps with a context are not timed."""

    def after_steps(self, steps: Steps) -> None:
        """Called between steps: every `config.report_every` weight updates, and before each stop."""

    def at_stop(self, stop: Stop) -> None:
        """Called at each evaluation, after `after_steps`."""

    def enough(self) -> bool:
        """Whether training should end at this stop."""
        return False

    def interrupted(self, step: int) -> None:
        """Called instead of `at_stop` and `end` if training is asked to end between two stops."""

    def end(self) -> None:
        """Called once, when training has ended on all workers."""
