"""Optimiser steps on tables, for timing."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import keras
import numpy as np
import tensorflow as tf

from ada_ensemble_tf.optimizers import make_optimizer
from data_pipelines.errors import UserError

Name = TypeVar("Name", int, str)
IDS = 4096 * 39
DIMENSION = 16
BATCHES = 8

ROW_SPARSE: dict[str, Callable[[], keras.optimizers.Optimizer]] = {
    "sparse_adam": lambda: make_optimizer("sparse_adam", learning_rate=1e-3),
    "sparse_adam, catch_up": lambda: make_optimizer("sparse_adam", learning_rate=1e-3, catch_up=True),
    "sparse_adagrad": lambda: make_optimizer("sparse_adagrad", learning_rate=1e-2),
    "ftrl": lambda: make_optimizer("ftrl", learning_rate=0.02),
    "group_ftrl": lambda: make_optimizer("group_ftrl", learning_rate=0.02),
    "grda": lambda: make_optimizer("grda", learning_rate=0.005),
}
PEERS: dict[str, Callable[[], keras.optimizers.Optimizer]] = {
    "sparse_adam": lambda: keras.optimizers.Adam(1e-3),
    "sparse_adagrad": lambda: keras.optimizers.Adagrad(1e-2),
    "ftrl": lambda: keras.optimizers.Ftrl(0.02),
}


class Table:
    """A table of `rows` rows with an optimiser; calling it does the step of the next batch and returns its seconds."""

    def __init__(self, optimizer: keras.optimizers.Optimizer, rows: int, positions: np.ndarray, gradient: tf.Tensor):
        rng = np.random.default_rng(rows)
        table = keras.Variable(np.full((rows, DIMENSION), 0.01, np.float32), name="table")
        optimizer.build([table])

        @tf.function(input_signature=[tf.TensorSpec([IDS], tf.int32)])
        def step(ids: tf.Tensor) -> tf.Tensor:
            optimizer.apply([tf.IndexedSlices(gradient, ids, tf.constant([rows, DIMENSION]))], [table])
            return tf.identity(optimizer.iterations)

        lists = [rng.choice(rows, positions.max() + 1, replace=False).astype(np.int32) for _ in positions]
        self._ids = [tf.constant(own[place]) for own, place in zip(lists, positions, strict=True)]
        self._step, self._next = step, 0

    def __call__(self) -> float:
        ids = self._ids[self._next % len(self._ids)]
        self._next += 1
        start = time.perf_counter()
        self._step(ids).numpy()
        return time.perf_counter() - start


def batches(distinct: int) -> tuple[np.ndarray, tf.Tensor]:
    """(positions `[BATCHES, IDS]` in [0, distinct), all of which occur in each batch; gradient `[IDS, D]`)."""
    if not 1 <= distinct <= IDS:
        raise UserError(f"--distinct must lie in [1, {IDS}]; received {distinct}")
    rng = np.random.default_rng(0)
    skewed = (distinct * rng.random((BATCHES, IDS - distinct)) ** 3).astype(np.int32)
    each = np.tile(np.arange(distinct, dtype=np.int32), (BATCHES, 1))
    gradient = rng.normal(0.0, 1e-3, (IDS, DIMENSION)).astype(np.float32)
    return rng.permuted(np.concatenate([skewed, each], axis=1), axis=1), tf.constant(gradient)


def timed(tables: Mapping[Name, Table], repeats: int) -> dict[Name, float]:
    """The median seconds of each table's steps; the tables take turns."""
    for table in tables.values():
        for _ in range(BATCHES):
            table()
    seconds: dict[Name, list[float]] = {name: [] for name in tables}
    for _ in range(repeats):
        for name, table in tables.items():
            seconds[name].append(table())
    return {name: statistics.median(found) for name, found in seconds.items()}
