"""Checkpoints: the whole state of training, and the weights of the best model so far."""

import hashlib
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import keras
import tensorflow as tf


class Checkpoint:
    """One folder that holds the latest save of a list of variables.

    A save is complete or not there: TensorFlow writes a new one beside the old, then points to it, then deletes the
    old. Variables are kept by place and name, so that those of another model are refused.

    Args:
        folder: where to save.
        variables: what to save, in an order that is the same in each process.
    """

    def __init__(self, folder: Path, variables: Sequence[keras.Variable | tf.Variable]):
        # Keras numbers random states by how many the process has made before: that is nothing of the model's.
        names = [re.sub(r"\bseed_generator_\d+/", "seed_generator/", getattr(v, "path", v.name)) for v in variables]
        values = [v.value if isinstance(v, keras.Variable) else v for v in variables]
        self._checkpoint = tf.train.Checkpoint(
            **{f"{i:04d}.{n.replace('/', '.')}": v for i, (n, v) in enumerate(zip(names, values, strict=True))}
        )
        self._manager = tf.train.CheckpointManager(self._checkpoint, str(folder), max_to_keep=1)

    @property
    def exists(self) -> bool:
        """Whether there is a save to restore."""
        return self._latest() is not None

    def _latest(self) -> str | None:
        # Not the manager's, which knows only its own saves: another worker may have written since.
        return tf.train.latest_checkpoint(self._manager.directory)

    def digest(self) -> str:
        """Of the latest save's index, which has a checksum of each tensor; "none" where there is no save."""
        path = self._latest()
        return "none" if path is None else hashlib.sha256(Path(f"{path}.index").read_bytes()).hexdigest()[:12]

    def save(self, step: int) -> None:
        """Saves the variables' values; `step` names the files."""
        self._manager.save(step)

    def restore(self) -> None:
        """Sets the variables to the latest save.

        Raises:
            ValueError: if there is none, or it is of other variables.
        """
        path = self._latest()
        if path is None:
            raise ValueError(f"{self._manager.directory}: no checkpoint; train first")
        try:
            self._checkpoint.restore(path).assert_consumed()
        except (AssertionError, ValueError, tf.errors.InvalidArgumentError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"{path}: the checkpoint is of another model: {reason}") from error


def remove_unfinished_saves(folder: Path) -> None:
    """Removes what saves of killed processes left in a folder: all but the save that TensorFlow's index names.

    Call it where no other process saves there.
    """
    latest = Path(tf.train.latest_checkpoint(str(folder)) or "").name
    for path in folder.glob("ckpt-*"):
        name = re.fullmatch(r"(ckpt-\d+)(\.index|\.data-\d+-of-\d+|_temp)", path.name)
        if name and (name[1] != latest or name[2] == "_temp"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in folder.glob("checkpoint.tmp*"):
        path.unlink()
