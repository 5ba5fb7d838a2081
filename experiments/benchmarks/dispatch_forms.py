"""Ways to run each expert on the rows that chose it: one layer of AdaEnsemble, forward and backward, in turns.

    .venv/bin/python -m experiments.benchmarks.dispatch_forms [--batch_size=4096] [--repeats=15]

Experts are products `[B_j, 624] x [624, 624]` of the cross kind, five of them with the paper's shares (arXiv
2301.08353), so that only the movement of rows differs. All forms give the same sums and gradients; this is checked
first. For K = 1, 3 and 4, the median time relative to all experts on all rows ("dense") is printed.

* one gather: `SparseDispatcher`, what the models use. The rows of all experts in one gather, outputs weighted,
  concatenated and summed by a segment sum.
* a gather an expert: as in public implementations of sparse mixtures; one gather and one scatter per expert.
* partition: tf.dynamic_partition of rows repeated K times, tf.dynamic_stitch and a sum.
* sorted gather: one argsort of (row, choice) pairs by choice, so that an expert's rows are a slice; sums by the
  inverse order.
* chunks: one gather on 1024 rows at a time, so that rows stay in the cache between the operations.
* dense for the full: one gather per expert, but experts with more than three quarters of the rows run on all rows.
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from absl import flags

from ada_ensemble_tf.moe.dispatch import SparseDispatcher, take_rows
from data_pipelines.errors import run_main
from experiments.measuring import steps

WIDTH = steps.FIELDS * steps.DIMENSION
EXPERTS = len(steps.EXPERT_SHARES)
CHUNK = 1024
FULL = 0.75

Experts = Callable[[int, tf.Tensor, tf.Tensor], tf.Tensor]
Form = Callable[[Experts, tf.Tensor, tf.Tensor, tf.Tensor, int], tf.Tensor]


def dense(expert: Experts, x0: tf.Tensor, x: tf.Tensor, gates: tf.Tensor, k: int) -> tf.Tensor:
    """All experts on all rows."""
    del k
    return tf.add_n([expert(j, x0, x) * gates[:, j : j + 1] for j in range(EXPERTS)])


def one_gather(expert: Experts, x0: tf.Tensor, x: tf.Tensor, gates: tf.Tensor, k: int) -> tf.Tensor:
    """The form that the models use."""
    del k
    dispatcher = SparseDispatcher(gates)
    rows0, rows = dispatcher.dispatch(x0), dispatcher.dispatch(x)
    return dispatcher.combine([expert(j, rows0[j], rows[j]) for j in range(EXPERTS)])


def gather_an_expert(expert: Experts, x0: tf.Tensor, x: tf.Tensor, gates: tf.Tensor, k: int) -> tf.Tensor:
    """A gather and a scatter for each expert."""
    del k
    total = tf.zeros_like(x)
    for j in range(EXPERTS):
        rows = tf.where(gates[:, j] > 0.0)
        output = expert(j, tf.gather_nd(x0, rows), tf.gather_nd(x, rows)) * tf.gather_nd(gates[:, j], rows)[:, None]
        total = tf.tensor_scatter_nd_add(total, rows, output)
    return total


def partition(expert: Experts, x0: tf.Tensor, x: tf.Tensor, gates: tf.Tensor, k: int) -> tf.Tensor:
    """Rows repeated K times and partitioned by expert."""
    weights, choices = tf.math.top_k(gates, k)
    flat, places = tf.reshape(choices, [-1]), tf.range(tf.size(choices))
    repeated0, repeated = tf.repeat(x0, k, axis=0), tf.repeat(x, k, axis=0)
    parts0, parts = (tf.dynamic_partition(t, flat, EXPERTS) for t in (repeated0, repeated))
    outputs = [expert(j, parts0[j], parts[j]) for j in range(EXPERTS)]
    stitched = tf.dynamic_stitch(tf.dynamic_partition(places, flat, EXPERTS), outputs)
    return tf.reduce_sum(tf.reshape(stitched, [-1, k, WIDTH]) * weights[:, :, None], axis=1)


def sorted_gather(expert: Experts, x0: tf.Tensor, x: tf.Tensor, gates: tf.Tensor, k: int) -> tf.Tensor:
    """Pairs of row and choice in the order of choices."""
    weights, choices = tf.math.top_k(gates, k)
    flat = tf.reshape(choices, [-1])
    order = tf.argsort(flat, stable=True)
    sizes = tf.math.bincount(flat, minlength=EXPERTS, maxlength=EXPERTS)
    rows0, rows = (tf.split(take_rows(t, order // k), sizes, num=EXPERTS) for t in (x0, x))
    outputs = tf.concat([expert(j, rows0[j], rows[j]) for j in range(EXPERTS)], axis=0)
    back = take_rows(outputs, tf.math.invert_permutation(order))
    return tf.reduce_sum(tf.reshape(back, [-1, k, WIDTH]) * weights[:, :, None], axis=1)


def chunks(expert: Experts, x0: tf.Tensor, x: tf.Tensor, gates: tf.Tensor, k: int) -> tf.Tensor:
    """One gather on some rows at a time."""
    pieces = [
        one_gather(expert, x0[at : at + CHUNK], x[at : at + CHUNK], gates[at : at + CHUNK], k)
        for at in range(0, gates.shape[0], CHUNK)
    ]
    return tf.concat(pieces, axis=0)


def dense_for_the_full(expert: Experts, x0: tf.Tensor, x: tf.Tensor, gates: tf.Tensor, k: int) -> tf.Tensor:
    """Experts that most rows chose run on all rows without a gather."""
    del k
    total = tf.zeros_like(x)
    for j in range(EXPERTS):
        column = gates[:, j]

        def on_all(j: int = j, column: tf.Tensor = column) -> tf.Tensor:
            return expert(j, x0, x) * column[:, None]

        def on_some(j: int = j, column: tf.Tensor = column) -> tf.Tensor:
            rows = tf.where(column > 0.0)[:, 0]
            output = expert(j, take_rows(x0, rows), take_rows(x, rows)) * tf.gather(column, rows)[:, None]
            return tf.math.unsorted_segment_sum(output, rows, tf.shape(x)[0])

        share = tf.reduce_mean(tf.cast(column > 0.0, tf.float32))
        total += tf.cond(share > FULL, on_all, on_some)
    return total


FORMS: dict[str, Form] = {
    "dense": dense,
    "one gather": one_gather,
    "a gather an expert": gather_an_expert,
    "partition": partition,
    "sorted gather": sorted_gather,
    "chunks": chunks,
    "dense for the full": dense_for_the_full,
}


def main(argv: Sequence[str]) -> None:
    """Prints each form's time relative to the dense form, by K."""
    del argv
    batch_size = flags.FLAGS.batch_size
    random = np.random.default_rng(0)
    x0, x, upstream = (tf.constant(random.normal(size=(batch_size, WIDTH)), tf.float32) for _ in range(3))
    kernels = [tf.constant(random.normal(size=(WIDTH, WIDTH)) / WIDTH**0.5, tf.float32) for _ in range(EXPERTS)]
    print("| K | rows moved | dense, ms | " + " | ".join(list(FORMS)[1:]) + " |")
    print("|---" * (len(FORMS) + 2) + "|", flush=True)
    for k in (1, 3, 4):
        gates = tf.constant(drawn_gates(random, batch_size, k))
        calls = {name: make_call(form, x0, x, upstream, gates, kernels, k) for name, form in FORMS.items()}
        wanted = [t.numpy() for t in calls["dense"]()]
        for name, call in calls.items():
            for found, want in zip(call(), wanted, strict=True):
                np.testing.assert_allclose(found.numpy(), want, rtol=1e-3, atol=1e-3, err_msg=name)
        timed = {name: lambda call=call: call()[0].numpy() for name, call in calls.items()}
        times = steps.alternate(timed, flags.FLAGS.repeats)
        base = times.pop("dense")
        ratios = " | ".join(f"{seconds / base:.2f}" for seconds in times.values())
        print(f"| {k} | {k / EXPERTS:.0%} | {base * 1e3:.1f} | {ratios} |", flush=True)


def drawn_gates(random: np.random.Generator, batch_size: int, k: int) -> np.ndarray:
    """`[B, E]`: k gates of 1 / k per row, on experts drawn by the paper's shares."""
    scores = np.log(steps.EXPERT_SHARES) + random.gumbel(size=(batch_size, EXPERTS))
    gates = np.zeros((batch_size, EXPERTS), np.float32)
    np.put_along_axis(gates, np.argsort(-scores, axis=1)[:, :k], 1.0 / k, axis=1)
    return gates


def make_call(
    form: Form,
    x0: tf.Tensor,
    x: tf.Tensor,
    upstream: tf.Tensor,
    gates: tf.Tensor,
    kernels: Sequence[tf.Tensor],
    k: int,
) -> Callable[[], list[tf.Tensor]]:
    """A call that gives the sum over the experts and its gradients to x0, x and kernels."""

    @tf.function
    def run():
        with tf.GradientTape() as tape:
            tape.watch([x0, x, *kernels])
            y = form(lambda j, rows0, rows: rows0 * tf.matmul(rows, kernels[j]), x0, x, gates, k)
        gradients = tape.gradient(y, [x0, x, *kernels], output_gradients=upstream)
        return [y, *(tf.convert_to_tensor(gradient) for gradient in gradients)]

    return run


if __name__ == "__main__":
    flags.DEFINE_integer("batch_size", 4096, "B.", lower_bound=2)
    flags.DEFINE_integer("repeats", 15, "Timed turns.", lower_bound=1)
    run_main(main)
