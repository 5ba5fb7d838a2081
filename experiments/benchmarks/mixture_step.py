"""What sparse routing and early exit save: whole training steps and inference, compared with the dense mixture.

    .venv/bin/python -m experiments.benchmarks.mixture_step [--batch_size=4096] [--repeats=9] [--num_rows=1000000]

Models have the sizes of AdaEnsemble's paper (arXiv 2301.08353): 39 fields, D = 16, four layers of its five experts,
float32. A training step is everything that `train` does with a joint batch: forward, backward, three optimisers,
reports, finite check. Ids are uniform over the table.

New gates route at random, so scores are replaced, after being computed, by random ones whose largest fall on experts
with the paper's prior shares (0.2, 0.2, 0.4, 0.1, 0.1) and on exits with the shares of its table 4 (6.53, 19.36, 66.43
and 7.68 %). The cost of gates, dispatch and exits is included, and the load is the paper's.

Models take turns in one process, so that a machine that slows down slows all; medians. The rate of a matrix product
`[4096, 624] x [624, 624]` is measured in the same turns. A model's rate is given as a share of it, from the FLOPs that
the model counts (the backward pass counts twice the forward pass).
"""

from collections.abc import Callable, Sequence

import tensorflow as tf
from absl import flags

from ada_ensemble_tf.models import AdaEnsemble, DenseMoE
from data_pipelines.errors import run_main
from experiments.measuring import steps, verdict

INFERENCE_BATCH = 512
TARGETS = {"K = 3": 0.80, "K = 1": 0.40}
TARGET_EXITS = 0.80
TARGET_SHARE_OF_MATMUL = 0.60


def main(argv: Sequence[str]) -> None:
    """Prints one table each for training and inference, and the verdicts."""
    del argv
    num_rows, repeats = flags.FLAGS.num_rows, flags.FLAGS.repeats
    models = {
        "DenseMoE": steps.make_mixture(DenseMoE, num_rows),
        "K = 3": steps.make_mixture(AdaEnsemble, num_rows, k=3),
        "K = 1": steps.make_mixture(AdaEnsemble, num_rows, k=1),
        "K = 3, exits": steps.make_mixture(AdaEnsemble, num_rows, exits=True, k=3),
    }
    for title, batch_size, make_call, passes in (
        ("training step", flags.FLAGS.batch_size, steps.training_call, 3),
        ("inference", INFERENCE_BATCH, steps.inference_call, 1),
    ):
        inputs, labels = steps.random_batch(num_rows, batch_size)
        calls = {name: make_call(model, inputs, labels) for name, model in models.items()}
        times = steps.alternate(calls | {"matrix product": matrix_product()}, repeats if passes == 3 else 5 * repeats)
        product_rate = 2 * 4096 * (steps.FIELDS * steps.DIMENSION) ** 2 / times.pop("matrix product")
        print(f"\n{title}, batch {batch_size}; matrix product: {product_rate / 1e9:.0f} GFLOP/s\n")
        print("| model | ms | time / DenseMoE | GFLOP/s | share of matrix product |\n|---|---|---|---|---|")
        shares = {}
        for name, seconds in times.items():
            rate = passes * steps.flops_of(models[name], inputs) / seconds
            shares[name] = rate / product_rate
            ratio = seconds / times["DenseMoE"]
            print(f"| {name} | {seconds * 1e3:.1f} | {ratio:.2f} | {rate / 1e9:.0f} | {shares[name]:.0%} |")
        print()
        for name, most in TARGETS.items():
            ratio = times[name] / times["DenseMoE"]
            print(verdict(f"{title}, {name}: at most {most:.2f} of DenseMoE", ratio <= most, f"{ratio:.2f}"))
        ratio = times["K = 3, exits"] / times["K = 3"]
        target = f"{title}, exits: at most {TARGET_EXITS:.2f} of full depth"
        print(verdict(target, ratio <= TARGET_EXITS, f"{ratio:.2f}"))
        target = f"{title}, K = 3: {TARGET_SHARE_OF_MATMUL:.0%} of the matrix product's rate"
        print(verdict(target, shares["K = 3"] >= TARGET_SHARE_OF_MATMUL, f"{shares['K = 3']:.0%}"))


def matrix_product() -> Callable[[], None]:
    """The matrix product that most experts consist of, on a batch of 4096."""
    width = steps.FIELDS * steps.DIMENSION
    left, right = tf.random.normal((4096, width)), tf.random.normal((width, width))
    multiply = tf.function(lambda: tf.reduce_max(tf.matmul(left, right)[0]))
    return lambda: multiply().numpy()


if __name__ == "__main__":
    flags.DEFINE_integer("batch_size", 4096, "Rows of a training step.", lower_bound=2)
    flags.DEFINE_integer("repeats", 9, "Timed turns; inference has five times as many.", lower_bound=1)
    flags.DEFINE_integer("num_rows", 1_000_000, "V, rows of the embedding table.", lower_bound=1)
    run_main(main)
