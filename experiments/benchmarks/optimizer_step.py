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
from collections.abc import Sequence

from absl import flags

from data_pipelines.errors import UserError, run_main
from experiments.measuring import verdict
from experiments.measuring.optimizer_steps import DIMENSION, IDS, PEERS, ROW_SPARSE, Table, batches, timed

TARGET_SPREAD = 1.5


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


if __name__ == "__main__":
    # Here, so that importing this module leaves the flags of other command lines alone.
    flags.DEFINE_list("sizes", ["10000", "100000", "1000000", "10000000"], "V of each table.")
    flags.DEFINE_integer("repeats", 40, "Timed steps of each table.", lower_bound=1)
    flags.DEFINE_integer("distinct", 8192, "Distinct rows of a batch.", lower_bound=1)
    flags.DEFINE_integer("peer_size", 1_000_000, "V beside Keras' optimisers.", lower_bound=1)
    run_main(main)
