"""Checkpoints: the whole state of training, and the best weights so far."""

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import keras
import numpy as np
import tensorflow as tf

from ada_ensemble_tf.devices.distribution import Distribution
from ada_ensemble_tf.trained.shared_tables import is_shared, join_parts, restore_parts, save_parts
from data_pipelines.checksums import Checksums, sha256_of, way_out_of
from data_pipelines.errors import UserError
from data_pipelines.file_names import path_inside
from data_pipelines.output import write_complete

T = TypeVar("T")
_ATTEMPTS = 3
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


class Checkpoint:
    """A folder that holds the latest save of a list of variables.

    A save is complete or does not exist. The folder's SHA256SUMS lists only the files of the latest save: a new save is
    written next to the old one, then SHA256SUMS is replaced, then the old save is deleted. TensorFlow's own index, the
    file `checkpoint`, is written for other tools and not read. Variables are stored by position and name, so a save of
    another model is refused.

    Where replicas share tables or weights, all workers save together, each its parts; the files are the same as those
    of one device, see `trained.shared_tables`.

    Args:
        folder: where to save.
        variables: the variables to save, in the same order in every process.
        distribution: the workers, if replicas share tables or weights.
    """

    def __init__(
        self,
        folder: Path,
        variables: Sequence[keras.Variable | tf.Variable],
        distribution: Distribution | None = None,
    ):
        self._variables = dict(zip(saved_names(variables), variables, strict=True))
        self._distribution = distribution or Distribution()
        self.is_shared = any(is_shared(v) for v in variables)
        if not self.is_shared:
            values = {n: v.value if isinstance(v, keras.Variable) else v for n, v in self._variables.items()}
            self._checkpoint = tf.train.Checkpoint(**values)
        self._folder = Path(folder)

    @property
    def exists(self) -> bool:
        """Whether there is a save to restore."""
        return latest_save(self._folder) is not None

    def digest(self) -> str:
        """A digest of the latest save's index, which holds each tensor's checksum; "none" if there is no save."""
        name = latest_save(self._folder)
        return "none" if name is None else sha256_of(self._folder / f"{name}.index")[:12]

    def save(self, step: int) -> None:
        """Saves the variables' values; `step` names the files. Workers that share variables call it together."""
        if self.is_shared:
            self._save_shared(step)
        else:
            self._save(step, lambda path: self._checkpoint.write(str(path)))

    def _save_shared(self, step: int) -> None:
        parts, who = self._folder / f"ckpt-{step}_temp", self._distribution
        save_parts(parts, who.worker, self._variables)
        # The chief joins what all have written, and nobody goes on before it has.
        who.agree(True)
        if who.is_chief:
            self._save(step, lambda path: join_parts(parts, path))
        who.agree(True)

    def _save(self, step: int, write: Callable[[Path], object]) -> None:
        path_inside(self._folder.parent.parent, f"{self._folder.parent.name}/{self._folder.name}")
        self._folder.mkdir(parents=True, exist_ok=True)
        # The files of the latest save are never written over, not even by another save of the same step.
        name = f"ckpt-{step}" if latest_save(self._folder) != f"ckpt-{step}" else f"ckpt-{step}-again"
        write(self._folder / name)
        Checksums(self._folder).only(sorted(path.name for path in self._folder.glob(f"{name}.*")))
        index = f'model_checkpoint_path: "{name}"\nall_model_checkpoint_paths: "{name}"\n'
        write_complete(self._folder / "checkpoint", index)
        remove_unfinished_saves(self._folder)

    def restore(self) -> None:
        """Sets the variables to the latest save.

        Raises:
            UserError: if there is no save, it is damaged, or it has other variables.
        """
        _of_latest_save(self._folder, self._restore)

    def _restore(self, name: str) -> None:
        path = self._folder / name
        check_saves(self._folder)
        try:
            if self.is_shared:
                restore_parts(path, self._variables)
            else:
                self._checkpoint.read(str(path)).assert_consumed()
        except tf.errors.ResourceExhaustedError as error:
            raise UserError(
                f"{path}: this process has not enough memory for it: give it more, or let several devices share the "
                "tables (config.sharding.tables='columns')"
            ) from error
        except (AssertionError, ValueError, tf.errors.OpError) as error:
            lacking = sorted(re.findall(r"<tf\.Variable '([^']+):0'", str(error)))
            reason = f"it has no variable {lacking[0]}" if lacking else str(error).splitlines()[0]
            raise UserError(
                f"{path}: the checkpoint is of another model, or of another version of this code: {reason}; "
                f"{way_out_of(self._folder.parent.parent)}"
            ) from error


def saved_names(variables: Sequence[keras.Variable | tf.Variable]) -> list[str]:
    """The names under which a checkpoint has these variables: position and path, with points."""
    # Keras numbers random states by how many the process has made before; the number is not part of the model.
    names = [re.sub(r"\bseed_generator_\d+/", "seed_generator/", getattr(v, "path", v.name)) for v in variables]
    return [f"{i:04d}.{name.replace('/', '.')}" for i, name in enumerate(names)]


class SavedValues:
    """The values in the latest save of a folder, without a model of their shapes.

    Args:
        folder: of a `Checkpoint`.

    Attributes:
        names: of all variables, see `saved_names`.

    Raises:
        UserError: if there is no save, or it is damaged.
    """

    def __init__(self, folder: Path):
        self._folder = Path(folder)
        self._reader = _of_latest_save(self._folder, self._open)
        found = [name for name in sorted(self._reader.get_variable_to_shape_map()) if name.endswith(_VALUE)]
        # TensorFlow doubles the points of names.
        self._keys = {name.removesuffix(_VALUE).replace("..", "."): name for name in found}
        self.names = list(self._keys)

    def _open(self, name: str) -> Any:
        check_saves(self._folder)
        return tf.train.load_checkpoint(str(self._folder / name))

    def value(self, name: str) -> np.ndarray:
        """The value of a variable. Raises UserError if there is none of this name."""
        if name not in self._keys:
            raise UserError(
                f"{self._folder}: the checkpoint is of another model, or of another version of this code: it has no "
                f"variable {name!r}; {way_out_of(self._folder.parent.parent)}"
            )
        return np.asarray(self._reader.get_tensor(self._keys[name]))

    def by_path(self) -> dict[str, str]:
        """The saved name of each variable by its path, without its position."""
        return {name.partition(".")[2]: name for name in self.names}


def latest_save(folder: Path) -> str | None:
    """The name of the save in a checkpoint folder, such as `ckpt-800`; None if there is none."""
    names = Checksums(folder, way_out_of(Path(folder).parent.parent)).names
    return next((name.removesuffix(".index") for name in names if name.endswith(".index")), None)


def saved_shapes(folder: Path) -> list[tuple[int, ...]]:
    """The shapes of the variables of the latest save. UserError: there is none, or its index is damaged."""

    def shapes(name: str) -> list[tuple[int, ...]]:
        Checksums(folder, way_out_of(folder.parent.parent)).check(f"{name}.index")
        try:
            found = tf.train.load_checkpoint(str(folder / name)).get_variable_to_shape_map()
        except (ValueError, tf.errors.OpError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{folder / name}.index: {reason}; {way_out_of(folder.parent.parent)}") from error
        return [tuple(shape) for variable, shape in found.items() if variable.endswith(_VALUE)]

    return _of_latest_save(folder, shapes)


def _of_latest_save(folder: Path, read: Callable[[str], T]) -> T:
    """What `read` makes of a folder's latest save by its name, again if a training replaces it meanwhile."""
    for _ in range(_ATTEMPTS):
        name = latest_save(folder)
        if name is None:
            raise UserError(f"{folder}: no checkpoint; train first")
        try:
            return read(name)
        except UserError:
            if latest_save(folder) == name:
                raise
    raise UserError(f"{folder}: checkpoints are replaced faster than they can be read; try again later")


def check_saves(folder: Path) -> None:
    """Compares the files of the latest save with their checksums; raises UserError if one is damaged."""
    checksums = Checksums(folder, way_out_of(folder.parent.parent))
    checksums.check(*checksums.names)


def remove_unfinished_saves(folder: Path) -> None:
    """Removes everything but a folder's latest save: older saves, and what killed processes left.

    Call it only while no other process saves there.
    """
    latest = latest_save(folder)
    for path in folder.glob("ckpt-*"):
        name = re.fullmatch(r"(ckpt-\d+(?:-again)?)(\.index|\.data-\d+-of-\d+|_temp)", path.name)
        if name and (name[1] != latest or name[2] == "_temp"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in folder.glob("checkpoint.tmp*"):
        path.unlink()
