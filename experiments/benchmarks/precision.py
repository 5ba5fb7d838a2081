"""Time of a training step in float32 and in bfloat16, on the same rows.

    .venv/bin/python -m experiments.benchmarks.precision [--models=dcn_v2,dense_moe] [--steps=20] [--xla]

The models are those of `experiments/criteo.py`, the batch has 4096 rows of 39 uniform synthetic ids in a table of a
million rows. A step includes the forward pass, gradients and all optimisers. Each model is made once per precision, in
one process; after two untimed steps the precisions take turns, so that a machine that slows down slows all. The matrix
product that dominates the steps is also timed on its own.

--xla adds float32 with forward pass and gradients compiled by XLA, for models whose shapes are all static, which
excludes models in which rows exit early.

The gain from bfloat16 depends on the CPU. With AMX its products are several times as fast as float32's; the target is
for such CPUs. With AVX-512 BF16 they are up to twice as fast; without either, TensorFlow converts to float32 and back.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import tensorflow as tf
from absl import flags

from ada_ensemble_tf.layers.precision import PRECISIONS, layers_of
from ada_ensemble_tf.models import MODELS, CTRModel, model_class
from ada_ensemble_tf.training.setup import compile_model
from data_pipelines.errors import UserError, run_main
from experiments import criteo
from experiments.measuring import verdict

FIELDS = 39
TARGET_RATIO = 1.8
WARM_UP = 2
EARLY_EXIT = ("ada_ensemble", "dense_moe")
"""Models whose rows exit early, so that shapes are known only at run time."""


def main(argv: Sequence[str]) -> None:
    """Prints the CPU's flags, the medians of each model, the ratios and the verdict."""
    del argv
    amx = "amx_bf16" in cpu_flags()
    print("CPU:", ", ".join(flag for flag in ("amx_bf16", "avx512_bf16") if flag in cpu_flags()) or "no bfloat16 flags")
    batch = flags.FLAGS.batch_size
    seconds = alternate(
        {precision: product(batch, FIELDS * 16, precision) for precision in PRECISIONS}, flags.FLAGS.steps
    )
    report(f"product {batch} x {FIELDS * 16} x {FIELDS * 16}", seconds)
    for name in flags.FLAGS.models:
        if name not in MODELS:
            raise UserError(f"--models: there is no model {name!r}; there are {', '.join(sorted(MODELS))}")
        steps = {precision: training_step(name, precision) for precision in PRECISIONS}
        if flags.FLAGS.xla and name not in EARLY_EXIT:
            steps["float32 XLA"] = training_step(name, "float32", xla=True)
        ratio = report(f"{name} step", alternate(steps, flags.FLAGS.steps))
        if amx:
            print(verdict(f"{name} >= {TARGET_RATIO} times float32", ratio >= TARGET_RATIO, f"{ratio:.2f}"))
        else:
            print(f"{name}: {ratio:.2f} times float32; the target of {TARGET_RATIO} is for CPUs with amx_bf16")


def cpu_flags() -> frozenset[str]:
    """The flags of the first CPU; empty if Linux does not list them."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    return frozenset(next((line.split(":")[1] for line in lines if line.startswith("flags")), "").split())


def product(rows: int, width: int, precision: str) -> Callable[[], object]:
    """A function that multiplies `[rows, width]` by `[width, width]`."""
    dtype = tf.bfloat16 if precision == "bfloat16" else tf.float32
    x, w = (tf.cast(tf.random.stateless_normal([n, width], [1, n]), dtype) for n in (rows, width))
    return lambda: tf.matmul(x, w)


def training_step(name: str, precision: str, xla: bool = False) -> Callable[[], object]:
    """A function that makes one update of all variables of the model called `name`, always on the same batch."""
    rows, batch = flags.FLAGS.rows, flags.FLAGS.batch_size
    ids = tf.random.stateless_uniform([batch, FIELDS], [1, 2], 0, rows, tf.int32)
    labels = tf.cast(tf.random.stateless_uniform([batch], [3, 4]) < 0.25, tf.float32)
    model = make_model(name, precision, rows)
    groups = list(model.groups().values())

    def gradients_of(ids: tf.Tensor, labels: tf.Tensor):
        gradients, logs = model.compute_gradients(ids, labels, [variables for _, variables in groups], "update")
        return gradients, logs["loss"]

    compiled = tf.function(gradients_of, jit_compile=True) if xla else gradients_of

    @tf.function
    def step() -> tf.Tensor:
        gradients, loss = compiled(ids, labels)
        for (optimizer, variables), group_gradients in zip(groups, gradients, strict=True):
            optimizer.apply(group_gradients, variables)
        return loss

    return step


def make_model(name: str, precision: str, rows: int) -> CTRModel:
    """The compiled model of the Criteo config, on a table of `rows`."""
    config = criteo.get_config(name)
    arguments = {key: value for key, value in config.model.to_dict().items() if not key.endswith("_epochs")}
    del arguments["name"]
    with layers_of(PRECISIONS[precision]):
        model = model_class(name)(num_rows=rows, num_fields=FIELDS, **arguments)
    compile_model(model, config)
    return model


def alternate(steps: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each of `repeats` runs, all taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for repeat in range(WARM_UP + repeats):
        for name, step in steps.items():
            start = time.perf_counter()
            tf.nest.map_structure(lambda x: x.numpy(), step())
            if repeat >= WARM_UP:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def report(what: str, seconds: dict[str, list[float]]) -> float:
    """Prints the medians; returns how many times faster bfloat16 is than float32."""
    medians = {name: statistics.median(runs) for name, runs in seconds.items()}
    ratio = medians["float32"] / medians["bfloat16"]
    columns = ", ".join(f"{name} {1e3 * median:.1f} ms" for name, median in medians.items())
    print(f"median of {what}: {columns}; bfloat16 {ratio:.2f} times as fast", flush=True)
    return ratio


if __name__ == "__main__":
    # Defined here, so that importing this module does not add flags to other commands.
    flags.DEFINE_list("models", ["dcn_v2", "dense_moe"], "Models to time.")
    flags.DEFINE_integer("steps", 20, "Timed steps of each model and precision.", lower_bound=1)
    flags.DEFINE_integer("rows", 1_000_000, "V, rows of the table.", lower_bound=1)
    flags.DEFINE_integer("batch_size", 4096, "Rows of a batch.", lower_bound=1)
    flags.DEFINE_bool("xla", False, "Whether to also time float32 compiled by XLA.")
    run_main(main)
