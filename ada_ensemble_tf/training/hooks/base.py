"""What a hook of the training loop is, and what it is told."""

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from ada_ensemble_tf.training.loop import TrainingLoop


@dataclasses.dataclass(frozen=True)
class Steps:
    """Weight updates that were made since the hooks were last told.

    Attributes:
        step: the last of them.
        count: how many they are.
        seconds: how long they took.
        logs: means over them, by name; see `training.graph_loop`.
        timed: whether the seconds tell the speed: functions had been traced before, and nothing was profiled.
    """

    step: int
    count: int
    seconds: float
    logs: Mapping[str, float]
    timed: bool


@dataclasses.dataclass
class Stop:
    """A stop of the training for an evaluation; hooks read what those before them have put into it.

    Attributes:
        step: where training stopped.
        figures: what was measured, by the name that TensorBoard shows it under.
        labels: `[N]` of the validation rows.
        probabilities: `[N]` that the model gives them.
        better: whether the weights are the best so far.
        standing: how they stand, for the progress line.
    """

    step: int
    figures: dict[str, float] = dataclasses.field(default_factory=dict)
    labels: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    better: bool = False
    standing: str = ""


class Hook:
    """Something that is done around a training's steps. Override what you need; the rest does nothing.

    For example, to write the table's largest norm to TensorBoard at each evaluation:

        class LargestNorm(Hook):
            def begin(self, loop):
                self._table = loop.model.embedding_variables[0]

            def at_stop(self, stop):
                stop.figures["embeddings/largest_norm"] = float(tf.reduce_max(tf.norm(self._table, axis=1)))

        train(config, data, workdir, hooks=[LargestNorm()])

    On several workers each has its hooks, and all call them alike: what needs the others must be done by all of them;
    what writes files is for `loop.distribution.is_chief` alone.
    """

    state: Sequence[tf.Variable] = ()
    """What a resumed run must know: saved and restored with the model. Names must differ from those of other hooks."""

    def begin(self, loop: "TrainingLoop") -> None:
        """Called once, before the state that an earlier process saved is restored."""

    def most_steps(self, timed: bool) -> int | None:
        """At most so many weight updates are made until the hooks are told again; None leaves it to the others.

        Args:
            timed: whether their time will tell the speed, see `Steps`.
        """

    def around_steps(self) -> contextlib.AbstractContextManager | None:
        """What the coming steps run within. Their time then counts for nothing."""

    def after_steps(self, steps: Steps) -> None:
        """Called between steps: every `config.report_every` weight updates, and before each stop."""

    def at_stop(self, stop: Stop) -> None:
        """Called at each evaluation, after `after_steps`."""

    def enough(self) -> bool:
        """Whether training is to end at this stop."""
        return False

    def interrupted(self, step: int) -> None:
        """Called instead of `at_stop` and `end` where training is asked to end between two stops."""

    def end(self) -> None:
        """Called once, when training has come to its end and all workers are there."""
