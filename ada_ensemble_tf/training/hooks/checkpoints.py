"""Writes checkpoints at each evaluation and resumes from them."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ada_ensemble_tf.trained.checkpoint import Checkpoint
from ada_ensemble_tf.training.hooks.base import Hook, Stop
from data_pipelines.errors import UserError

if TYPE_CHECKING:
    from ada_ensemble_tf.training.beginnings import Source
    from ada_ensemble_tf.training.loop import TrainingLoop

logger = logging.getLogger(__name__)


class Checkpoints(Hook):
    """Saves all state at each stop, and the best weights separately. The chief saves; all workers restore.

    Workers that share tables save together.

    It must be the last hook, because it restores the state of all hooks and saves their state after a stop.

    Args:
        folder: the folder for `last` and `best`.
        source: gives the model its first weights and state, where they are not new.
    """

    def __init__(self, folder: Path, source: "Source | None" = None):
        self._folder, self._source = folder, source

    def begin(self, loop: "TrainingLoop") -> None:
        model, who = loop.model, loop.distribution
        self._saves = who.is_chief or who.mesh is not None
        state = sorted((v for hook in loop.hooks for v in hook.state), key=lambda v: v.name)
        self._last = Checkpoint(self._folder / "last", [*model.variables, *model.optimizer_variables, *state], who)
        self._best = Checkpoint(self._folder / "best", model.variables, who)
        if self._last.exists:
            self._last.restore()
            logger.info("resuming at step %d of %d", loop.step, loop.plan.max_steps)
        elif self._source is not None:
            self._source.load(model, state, self._best.save if self._saves else lambda step: None)
        told = loop.distribution.told_by_all("what it restored", f"step {loop.step} {self._last.digest()}")
        check_same_checkpoint(told, self._folder)

    def at_stop(self, stop: Stop):
        if self._saves and stop.better:
            self._best.save(stop.step)
        stop.put_back()
        if self._saves:
            self._last.save(stop.step)

    def interrupted(self, step: int):
        if self._saves:
            self._last.save(step)

    def end(self):
        self._best.restore()


def check_same_checkpoint(told: list[tuple[str, str]], folder: Path) -> None:
    """Raises UserError if a worker restored another checkpoint than the first worker.

    Args:
        told: (name, "step N" and a digest) of each worker.
        folder: the folder of the checkpoints.
    """
    first_name, first = told[0]
    for name, restored in told[1:]:
        if restored != first:
            (step, digest), (first_step, first_digest) = (text.rsplit(" ", 1) for text in (restored, first))
            what = f"{step}, {first_name} {first_step}"
            if step == first_step:
                what = f"{step} of checkpoint {digest}, {first_name} of {first_digest}"
            raise UserError(
                f"{name} restored {what}: they read different files; the shared disk may lag behind. Check that "
                f"{folder} is the same directory with the same files on all machines, then start all workers again"
            )
