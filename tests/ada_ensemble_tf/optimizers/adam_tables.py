"""A table, gradients of some of its rows, and dense Adam, for the tests of row-sparse Adam."""

import keras
import numpy as np
import tensorflow as tf

from ada_ensemble_tf.optimizers import RowSparseOptimizer

ROWS, WIDTH = 6, 3


class DenseAdam:
    """Adam of all rows (Kingma and Ba, ICLR 2015, section 2) in float64 NumPy."""

    def __init__(self, w, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
        self.w, self.step = np.array(w, np.float64), 0
        self.m, self.v = np.zeros_like(self.w), np.zeros_like(self.w)
        self.learning_rate, self.beta_1, self.beta_2, self.epsilon = learning_rate, beta_1, beta_2, epsilon

    def update(self, g: np.ndarray) -> None:
        """One step with a gradient of the whole variable, zero for rows that do not occur."""
        self.step += 1
        self.m = self.beta_1 * self.m + (1 - self.beta_1) * g
        self.v = self.beta_2 * self.v + (1 - self.beta_2) * g**2
        rate = self.learning_rate * np.sqrt(1 - self.beta_2**self.step) / (1 - self.beta_1**self.step)
        self.w -= rate * self.m / (np.sqrt(self.v) + self.epsilon)


def table(seed: int = 0) -> keras.Variable:
    """`[ROWS, WIDTH]` of small values."""
    return keras.Variable(np.random.default_rng(seed).normal(0, 0.1, (ROWS, WIDTH)).astype(np.float32), name="table")


def gradient_of(rows, seed: int, scale: float = 1.0) -> tuple[tf.IndexedSlices, np.ndarray]:
    """A gradient of these rows, and the same gradient for the whole table."""
    values = (scale * np.random.default_rng(seed).normal(0.2, 1.0, (len(rows), WIDTH))).astype(np.float32)
    dense = np.zeros((ROWS, WIDTH))
    np.add.at(dense, rows, values)
    return tf.IndexedSlices(tf.constant(values), tf.constant(rows, tf.int32), (ROWS, WIDTH)), dense


def state(optimizer: RowSparseOptimizer, variable: keras.Variable) -> list[np.ndarray]:
    """The weights and their slots."""
    return [v.numpy() for v in (variable, *optimizer.slots(variable))]
