"""How the cost of a training step depends on the batch, fields, table, experts and layers.

    .venv/bin/python -m experiments.benchmarks.cost_curves [--repeats=5] [--curves=batch,fields,table,experts,layers]

AdaEnsemble with K = 3 and all rows at full depth, float32; batch 1024, 39 fields, D = 16, four layers of the paper's
five experts, a table of a million rows, except for the size that a curve varies. Gates choose with the paper's shares;
in the experts' curve, whose experts each have one or two products of size M x M, with equal shares. The sizes of a
curve take turns; medians are printed. Next to the time are a step's FLOPs and the time per FLOP, which is flat if
matrix products dominate a step.
"""

from collections.abc import Callable, Sequence

from absl import flags

from ada_ensemble_tf.models import AdaEnsemble
from data_pipelines.errors import UserError, run_main
from experiments.measuring import steps

BATCH, ROWS = 1024, 1_000_000
LIKE_EXPERTS = ("cross", "polynomial", "gated_dense", "dense", "residual_dnn", "self_gated_dnn")


def with_batch(size: int) -> tuple[AdaEnsemble, tuple]:
    """A model and its batch of `size` rows."""
    return steps.make_mixture(AdaEnsemble, ROWS), steps.random_batch(ROWS, size)


def with_fields(size: int) -> tuple[AdaEnsemble, tuple]:
    """A model of `size` fields."""
    model = steps.make_mixture(AdaEnsemble, ROWS, num_fields=size)
    return model, steps.random_batch(ROWS, BATCH, size)


def with_table(size: int) -> tuple[AdaEnsemble, tuple]:
    """A model with a table of `size` rows."""
    return steps.make_mixture(AdaEnsemble, size), steps.random_batch(size, BATCH)


def with_experts(size: int) -> tuple[AdaEnsemble, tuple]:
    """A model with `size` experts per layer."""
    shares = [1.0 / size] * size
    model = steps.make_mixture(AdaEnsemble, ROWS, expert_shares=shares, experts=LIKE_EXPERTS[:size])
    return model, steps.random_batch(ROWS, BATCH)


def with_layers(size: int) -> tuple[AdaEnsemble, tuple]:
    """A model of `size` layers."""
    return steps.make_mixture(AdaEnsemble, ROWS, num_layers=size), steps.random_batch(ROWS, BATCH)


CURVES: dict[str, tuple[Callable[[int], tuple[AdaEnsemble, tuple]], tuple[int, ...]]] = {
    "batch": (with_batch, (256, 1024, 4096, 16384)),
    "fields": (with_fields, (10, 25, 50, 100, 200)),
    "table": (with_table, (10_000, 100_000, 1_000_000, 10_000_000)),
    "experts": (with_experts, (3, 4, 5, 6)),
    "layers": (with_layers, (1, 2, 4, 8)),
}


def main(argv: Sequence[str]) -> None:
    """Prints one table per curve."""
    del argv
    names = flags.FLAGS.curves
    if unknown := set(names) - set(CURVES):
        raise UserError(f"--curves: there is no {', '.join(sorted(unknown))}; there are {', '.join(CURVES)}")
    for name in names:
        make, sizes = CURVES[name]
        made = {size: make(size) for size in sizes}
        calls = {str(size): steps.training_call(model, *batch) for size, (model, batch) in made.items()}
        times = steps.alternate(calls, flags.FLAGS.repeats)
        print(f"\n| {name} | ms a step | examples/s | GFLOP a step | ms/GFLOP |\n|---|---|---|---|---|")
        for size, (model, (ids, _)) in made.items():
            seconds, flops = times[str(size)], 3 * steps.flops_of(model, ids)
            rate = ids.shape[0] / seconds
            cells = f"{seconds * 1e3:.1f} | {rate:,.0f} | {flops / 1e9:.2f} | {seconds * 1e12 / flops:.1f}"
            print(f"| {size:,} | {cells} |", flush=True)


if __name__ == "__main__":
    flags.DEFINE_integer("repeats", 5, "Timed turns.", lower_bound=1)
    flags.DEFINE_list("curves", list(CURVES), "Which curves.")
    run_main(main)
