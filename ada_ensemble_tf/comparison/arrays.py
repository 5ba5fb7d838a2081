"""A comparison's arrays: test labels and weights, each run's probabilities. All have checksums in their directory."""

import io
from pathlib import Path

import numpy as np

from ada_ensemble_tf.comparison.runs import PROBABILITIES
from data_pipelines.checksums import Checksums
from data_pipelines.errors import UserError


def save_array(path: Path, array: np.ndarray) -> None:
    """Writes an array to a file that appears only when complete, and lists its checksum."""
    content = io.BytesIO()
    np.save(content, array)
    Checksums(path.parent).write({path.name: content.getvalue()})


def weights_file(labels_file: Path) -> Path:
    """The file of the test rows' weights, beside that of their labels; there is none where rows have no weights."""
    return labels_file.with_name("test_weights.npy")


def load_weights(labels_file: Path) -> np.ndarray | None:
    """The weights of the test rows, or None. Raises UserError as `load_array` does."""
    file = weights_file(labels_file)
    return load_array(file, len(load_array(labels_file))) if file.exists() else None


def load_array(path: Path, rows: int | None = None) -> np.ndarray:
    """An array `[rows]` of finite numbers.

    Args:
        path: the file.
        rows: how many there should be; None takes any number.

    Raises:
        UserError: the file is missing or damaged, or holds something else.
    """
    of_a_run = path.name == PROBABILITIES
    again = f"delete {path.parent} to train it again" if of_a_run else "compare again in another --out"
    content = Checksums(path.parent, again).read(path.name)
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
        is_right = array.ndim == 1 and np.isfinite(array).all()
    except (ValueError, TypeError, EOFError, MemoryError, AttributeError) as error:
        raise UserError(f"{path}: no array of numbers ({' '.join(str(error).split())[:200]}); {again}") from None
    if not is_right or (rows is not None and len(array) != rows):
        expected = "finite numbers" if rows is None else f"{rows} finite numbers"
        raise UserError(f"{path}: expected {expected}, got {array.dtype.name} of shape {array.shape}; {again}")
    return array
