"""Memory and time of a training step with and without activation checkpointing, for DHEN of several depths.

    .venv/bin/python -m experiments.benchmarks.activation_checkpointing [--layers=8,16] [--batch_size=4096]

Each model trains in a process of its own, with the paper's default modules over 26 fields, D = 16. Memory is the
process's peak resident set less that of the same process before its first step, which is what TensorFlow, tables and
weights take. It holds activations, gradients and the optimisers' arithmetic. Time is CPU time of all threads, which
other processes on the machine hardly change: the median of the steps after the first.
"""

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from absl import flags

from data_pipelines.errors import UserError, run_main

FIELDS, DIMENSION, ROWS = 26, 16, 10_000


def main(argv: Sequence[str]) -> None:
    """Prints memory and time of both forms of each depth, and their ratios."""
    del argv
    values = flags.FLAGS
    if values.one:
        print(json.dumps(measure(values.one == "recomputed", int(values.layers[0]), values.batch_size, values.steps)))
        return
    print(f"DHEN, {FIELDS} fields, D = {DIMENSION}, batch {values.batch_size}")
    for layers in values.layers:
        found = {}
        for form in ("kept", "recomputed"):
            flags_of_one = [f"--one={form}", f"--layers={layers}", f"--batch_size={values.batch_size}"]
            found[form] = _in_process([*flags_of_one, f"--steps={values.steps}"])
        memory, seconds = ({form: one[what] for form, one in found.items()} for what in ("bytes", "seconds"))
        print(
            f"{layers} layers: memory of a step {memory['kept'] / 1e6:.0f} MB kept, "
            f"{memory['recomputed'] / 1e6:.0f} MB recomputed, ratio {memory['recomputed'] / memory['kept']:.2f}; "
            f"CPU time {seconds['kept']:.2f} s kept, {seconds['recomputed']:.2f} s recomputed, ratio "
            f"{seconds['recomputed'] / seconds['kept']:.2f}",
            flush=True,
        )


def _in_process(arguments: Sequence[str]) -> dict[str, float]:
    command = [sys.executable, "-m", __spec__.name, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{' '.join(command)} ended with code {done.returncode}: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(recompute: bool, layers: int, batch_size: int, steps: int) -> dict[str, float]:
    """{"bytes": memory of a step, "seconds": its median time} of one model, in this process."""
    import keras
    import tensorflow as tf

    from ada_ensemble_tf.models import DHEN
    from experiments.measuring.steps import random_batch

    keras.utils.set_random_seed(0)
    model = DHEN(
        num_rows=ROWS,
        num_fields=FIELDS,
        dimension=DIMENSION,
        num_layers=layers,
        activation_checkpointing=recompute,
    )
    model.compile()
    rows = random_batch(ROWS, batch_size, FIELDS)
    step = tf.function(model.training_logs)
    step.get_concrete_function(rows)
    before, times = _peak_bytes(), []
    for _ in range(steps + 1):
        started = time.process_time()
        step(rows)["loss"].numpy()
        times.append(time.process_time() - started)
    return {"bytes": _peak_bytes() - before, "seconds": statistics.median(times[1:])}


def _peak_bytes() -> int:
    """The largest resident set of this process so far; Linux counts it in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    # Defined here, so that importing this module does not add flags to other commands.
    flags.DEFINE_list("layers", ["8", "16"], "Layers of each DHEN.")
    flags.DEFINE_integer("batch_size", 4096, "Rows of a batch.", lower_bound=1)
    flags.DEFINE_integer("steps", 5, "Timed steps of each model.", lower_bound=1)
    flags.DEFINE_enum("one", "", ["", "kept", "recomputed"], "Measure one form in this process; for the processes.")
    run_main(main)
