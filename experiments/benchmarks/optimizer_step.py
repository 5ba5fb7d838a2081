"""Time of an optimiser's step on an embedding table: by the table's size, and against Keras' own optimisers.

    .venv/bin/python -m experiments.benchmarks.optimizer_step [--sizes=10000,100000,1000000,10000000] [--repeats=40]

A step is `optimizer.apply` in a graph, given the gradient of a lookup of 4096 x 39 ids in a table `[V, 16]`: a row of
floats an id. Forward and backward pass are not part of it. A step is timed until it has been carried out.

All tables get the same work. Drawn from the rows of a table as they are, ids would repeat less often the larger the
table, and time would grow with the distinct rows of a batch and not with V. So a batch is drawn once, with a skew as
clicks have, as positions in a list of --distinct rows each of which comes at least once; each table then has its own
random list of so many of its rows. There are eight batches with eight lists a table, taken in turn, so that rows are
not always in the cache.

Of each optimiser, tables of all sizes take turns, so that a machine that slows down slows all. Before that each does
all batches once. The largest size holds 2 GB with the state of an optimiser, which is freed before the next one's.

At V = --peer_size our optimisers then take turns with Keras' of the same algorithm, on tables of their own.
"""

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from ada_ensemble_tf.optimizers import make_optimizer
from data_pipelines.errors import UserError, run_main
from experiments.benchmarks import verdict

IDS = 4096 * 39
DIMENSION = 16
BATCHES = 8
TARGET_SPREAD = 1.5

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
        def step(ids):
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


def main(argv: Sequence[str]) -> None:
    """Prints the medians of each optimiser by table size, those beside Keras' optimisers, and the verdicts."""
    del argv
    values = flags.FLAGS
    try:
        sizes = [int(size) for size in values.sizes]
    except ValueError as error:
        raise UserError(f"--sizes must be whole numbers with commas between; received {values.sizes}") from error
    if not sizes or min(*sizes, values.peer_size) < values.distinct:
        raise UserError(f"no size may be below --distinct={values.distinct}; received {[*sizes, values.peer_size]}")
    positions, gradient = batches(values.distinct)
    print(
        f"{IDS:,} ids a batch, {values.distinct:,} distinct rows, D = {DIMENSION}; medians of {values.repeats}, in ms"
    )
    print(
        "optimizer".ljust(24), *(f"V = {size:,}".rjust(15) for size in sizes), "slowest/fastest".rjust(16), flush=True
    )
    spreads = {}
    for name, make in ROW_SPARSE.items():
        tables = {size: Table(make(), size, positions, gradient) for size in sizes}
        medians = timed(tables, values.repeats)
        spreads[name] = max(medians.values()) / min(medians.values())
        print(name.ljust(24), *(f"{medians[size] * 1e3:15.2f}" for size in sizes), f"{spreads[name]:16.2f}", flush=True)
        del tables
        gc.collect()
    print(f"\nV = {values.peer_size:,}".ljust(25), *(title.rjust(15) for title in ("ours", "Keras", "Keras/ours")))
    for name, peer in PEERS.items():
        makers = {"ours": ROW_SPARSE[name], "Keras": peer}
        tables = {side: Table(make(), values.peer_size, positions, gradient) for side, make in makers.items()}
        medians = timed(tables, values.repeats)
        ratio = medians["Keras"] / medians["ours"]
        print(name.ljust(24), *(f"{medians[side] * 1e3:15.2f}" for side in makers), f"{ratio:15.1f}", flush=True)
        del tables
        gc.collect()
    print()
    for name, spread in spreads.items():
        print(verdict(f"{name}: slowest/fastest <= {TARGET_SPREAD}", spread <= TARGET_SPREAD, f"{spread:.2f}"))


def batches(distinct: int) -> tuple[np.ndarray, tf.Tensor]:
    """(positions `[BATCHES, IDS]` in [0, distinct), of which all come in each batch; gradient `[IDS, D]`)."""
    if not 1 <= distinct <= IDS:
        raise UserError(f"--distinct must lie in [1, {IDS}]; received {distinct}")
    rng = np.random.default_rng(0)
    skewed = (distinct * rng.random((BATCHES, IDS - distinct)) ** 3).astype(np.int32)
    each = np.tile(np.arange(distinct, dtype=np.int32), (BATCHES, 1))
    gradient = rng.normal(0.0, 1e-3, (IDS, DIMENSION)).astype(np.float32)
    return rng.permuted(np.concatenate([skewed, each], axis=1), axis=1), tf.constant(gradient)


def timed(tables: Mapping, repeats: int) -> dict:
    """The median seconds of each table's steps, the tables in turn."""
    for table in tables.values():
        for _ in range(BATCHES):
            table()
    seconds = {name: [] for name in tables}
    for _ in range(repeats):
        for name, table in tables.items():
            seconds[name].append(table())
    return {name: statistics.median(found) for name, found in seconds.items()}


if __name__ == "__main__":
    # Here, so that importing this module leaves the flags of other command lines alone.
    flags.DEFINE_list("sizes", ["10000", "100000", "1000000", "10000000"], "V of each table.")
    flags.DEFINE_integer("repeats", 40, "Timed steps of each table.", lower_bound=1)
    flags.DEFINE_integer("distinct", 8192, "Distinct rows of a batch.", lower_bound=1)
    flags.DEFINE_integer("peer_size", 1_000_000, "V beside Keras' optimisers.", lower_bound=1)
    run_main(main)
