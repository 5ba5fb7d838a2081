"""A table and gradients of some of its rows, for the tests of group FTRL."""

import keras
import numpy as np

from ada_ensemble_tf.optimizers import GroupFtrl

ROWS, WIDTH = 12, 3
SETTINGS = {"learning_rate": 0.1, "beta": 0.5, "l1": 0.4, "l2": 0.05}


def table(seed: int = 0, width: int = WIDTH) -> keras.Variable:
    """`[ROWS, width]` of small values."""
    values = np.random.default_rng(seed).normal(0, 0.1, (ROWS, width))
    return keras.Variable(values.astype(np.float32), name="table")


def state(optimizer: GroupFtrl, variable: keras.Variable) -> list[np.ndarray]:
    """w, z and n."""
    return [v.numpy() for v in (variable, *optimizer.slots(variable))]


def batches(steps: int, rows: int, seed: int = 1) -> list[tuple[np.ndarray, np.ndarray]]:
    """(ids, gradients) with repeated ids; rows 0 and 1 never occur, rows 2 to 4 have small gradients."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(steps):
        ids = rng.integers(2, ROWS, rows).astype(np.int32)
        scale = np.where(ids < 5, 0.02, 1.0)[:, None]
        made.append((ids, (scale * (rng.normal(size=(rows, WIDTH)) + 0.3)).astype(np.float32)))
    return made
