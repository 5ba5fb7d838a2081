"""Time of an optimiser's step on an embedding table: by the table's size, and compared with Keras' own optimisers.

    .venv/bin/python -m experiments.benchmarks.optimizer_step [--sizes=10000,100000,1000000,10000000] [--repeats=40]

A step is `optimizer.apply` in a graph, given the gradient of a lookup of 4096 x 39 ids in a table `[V, 16]`: one row of
floats per id. The forward and backward passes are not included. A step is timed until it has finished.

All tables get the same work. If ids were drawn from a table's own rows, they would repeat less often in larger tables,
and time would grow with the distinct rows of a batch instead of V. So a batch is drawn once, as skewed as clicks are,
as positions in a list of --distinct rows, each of which occurs at least once. Each table then has its own random list
of that many of its rows. There are eight batches and eight lists per table, used in turn, so that rows are not always
in the cache.

For each optimiser, tables of all sizes take turns, so that a machine that slows down slows all. Before that, each table
runs all batches once. The largest table takes 2 GB with an optimiser's state; it is freed before the next one.

At V = --peer_size our optimisers then take turns with Keras' optimisers of the same algorithm, on separate tables.
"""

import gc
from collections.abc import Sequence

from absl import flags

from data_pipelines.errors import UserError, run_main
from experiments.measuring import verdict
from experiments.measuring.optimizer_steps import DIMENSION, IDS, PEERS, ROW_SPARSE, Table, batches, timed

TARGET_SPREAD = 1.5


def main(argv: Sequence[str]) -> None:
    """Prints each optimiser's medians by table size, the comparison with Keras' optimisers, and the verdicts."""
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
        sides = {side: Table(make(), values.peer_size, positions, gradient) for side, make in makers.items()}
        times = timed(sides, values.repeats)
        ratio = times["Keras"] / times["ours"]
        print(name.ljust(24), *(f"{times[side] * 1e3:15.2f}" for side in makers), f"{ratio:15.1f}", flush=True)
        del sides
        gc.collect()
    print()
    for name, spread in spreads.items():
        print(verdict(f"{name}: slowest/fastest <= {TARGET_SPREAD}", spread <= TARGET_SPREAD, f"{spread:.2f}"))


if __name__ == "__main__":
    # Defined here, so that importing this module does not add flags to other commands.
    flags.DEFINE_list("sizes", ["10000", "100000", "1000000", "10000000"], "V of each table.")
    flags.DEFINE_integer("repeats", 40, "Timed steps of each table.", lower_bound=1)
    flags.DEFINE_integer("distinct", 8192, "Distinct rows of a batch.", lower_bound=1)
    flags.DEFINE_integer("peer_size", 1_000_000, "V beside Keras' optimisers.", lower_bound=1)
    run_main(main)
