"""Writes a TensorBoard profile of some weight updates."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from ada_ensemble_tf.training.hooks.base import Hook, Steps
from ada_ensemble_tf.training.monitoring.tensorboard import profile

if TYPE_CHECKING:
    from ada_ensemble_tf.training.loop import TrainingLoop


class Profile(Hook):
    """Profiles some weight updates once functions have been traced; only on the chief.

    Args:
        folder: the folder of TensorBoard's files.
        steps: the number of weight updates to profile; 0 for none.
    """

    def __init__(self, folder: Path, steps: int):
        self._folder, self._left, self._profiling = folder, steps, False

    def begin(self, loop: "TrainingLoop") -> None:
        if self._left:
            self._left = loop.plan.whole_calls(self._left)
        self._is_chief = loop.distribution.is_chief

    def most_steps(self, timed: bool):
        self._profiling = timed and self._left > 0
        return self._left if self._profiling else None

    def around_steps(self):
        if not self._profiling:
            return None
        return profile(self._folder) if self._is_chief else contextlib.nullcontext()

    def after_steps(self, steps: Steps):
        if self._profiling:
            self._left -= steps.count
            self._profiling = False
