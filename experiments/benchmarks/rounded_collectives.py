"""Whether exchanging embeddings and their gradients in bfloat16 costs AUC (--config.sharding.collectives).

    .venv/bin/python -m experiments.benchmarks.rounded_collectives --data_dir=runs/frappe/data_80 [--seeds=3]

Trains DCN V2 with the config of Frappe on two logical CPU devices that share its tables, once with float32 and once
with bfloat16 for each seed. It prints the test AUC of each, their mean difference and its standard error over seeds.
Moving averages of weights are off, because shared tables have none.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import flags

from data_pipelines.errors import run_main

TYPES = ("float32", "bfloat16")


def main(argv: Sequence[str]) -> None:
    """Trains what is not trained yet and prints the table."""
    del argv
    import tensorflow as tf

    from ada_ensemble_tf.comparison.configs import make_config
    from ada_ensemble_tf.trained.run_files import load_results
    from ada_ensemble_tf.training.run import train
    from data_pipelines.read.dataset import open_data

    given = flags.FLAGS
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    aucs = np.zeros([given.seeds, len(TYPES)])
    print(f"| seed | {' | '.join(TYPES)} |\n|{'---|' * (1 + len(TYPES))}", flush=True)
    for seed in range(given.seeds):
        for place, exchanged in enumerate(TYPES):
            values = {"seed": seed, "strategy": "mirrored", "ema_momentum": 0.0, "deterministic": True}
            values |= {"sharding.tables": "columns", "sharding.collectives": exchanged}
            workdir = Path(given.workdir) / f"{exchanged}_{seed}"
            train(make_config("frappe", "dcn_v2", values), open_data(given.data_dir), workdir)
            aucs[seed, place] = load_results(workdir)["test"]["auc"]
        print(f"| {seed} | {' | '.join(f'{auc:.5f}' for auc in aucs[seed])} |", flush=True)
    lost = aucs[:, 1] - aucs[:, 0]
    error = f" ± {lost.std(ddof=1) / np.sqrt(len(lost)):.5f}" if len(lost) > 1 else ""
    print(f"bfloat16 less float32: {lost.mean():+.5f}{error} (standard error over seeds)")


if __name__ == "__main__":
    # Defined here, so that importing this module does not add flags to other commands.
    flags.DEFINE_string("data_dir", None, "Prepared rows of Frappe.", required=True)
    flags.DEFINE_integer("seeds", 3, "Seeds, from 0 on.", lower_bound=1)
    flags.DEFINE_string("workdir", "runs/benchmarks/rounded_collectives", "Where trainings are put.")
    run_main(main)
