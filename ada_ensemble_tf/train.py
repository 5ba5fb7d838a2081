"""Trains a model:

python -m ada_ensemble_tf.train --config=criteo:ada_ensemble --data_dir=DIR --workdir=DIR

Training uses all GPUs of the machine. To train on several machines, run the same command on each, with directories that
all of them share, and with the environment variable TF_CONFIG, which names them, e.g. {"cluster": {"worker":
["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}. If a worker dies, start it again; the others
wait for it, for config.worker_timeout seconds, and go on from the last checkpoint.

SIGTERM or Ctrl-C ends training after the next step, on all machines after the same one, with a checkpoint and exit code
75. The same command goes on from there. A second signal ends it at once.
"""

from collections.abc import Sequence

from absl import flags

from ada_ensemble_tf.configs.facts import Facts
from ada_ensemble_tf.configs.files import config_for, define_config
from ada_ensemble_tf.trained.config_ranges import check_config
from ada_ensemble_tf.trained.run_files import calibration_line
from data_pipelines.errors import run_main
from data_pipelines.read.dataset import open_data
from data_pipelines.usage import command_line

_CONFIG = define_config()
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Prepared data.", required=True)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Where the run goes; an interrupted run there is resumed.", required=True
)
_CONTINUE_FROM = flags.DEFINE_string(
    "continue_from", None, "Directory of a training that goes on, with its own data or with data that extend them."
)
_WARM_START = flags.DEFINE_string(
    "warm_start", None, "Directory of a training whose weights to begin with, by name, with new optimisers."
)


def main(argv: Sequence[str]) -> None:
    """Trains and prints where to look next."""
    del argv
    check_config(_CONFIG.value.to_dict())
    data = open_data(_DATA_DIR.value)
    config = config_for(_CONFIG.name, Facts.of(data.schema, data.preparation))
    # Imported here so that a wrong flag or data directory is reported without waiting for TensorFlow.
    from ada_ensemble_tf.devices.restarts import starting_anew
    from ada_ensemble_tf.training.run import train
    from ada_ensemble_tf.training.stopping import StopRequest

    with starting_anew(_WORKDIR.value):
        results = train(
            config, data, _WORKDIR.value, stop=StopRequest(), command=command_line(),
            continue_from=_CONTINUE_FROM.value, warm_start=_WARM_START.value,
        )  # fmt: skip
    for split in ("validation", "test"):
        figures = results[split]
        print(f"{split}: AUC {figures['auc']:.5f}, LogLoss {figures['logloss']:.5f}, {figures['rows']} rows")
    print(f"calibration: {calibration_line(results)}")
    print(f"metrics: {_WORKDIR.value}/metrics.json")
    print(f"dashboard: tensorboard --logdir={_WORKDIR.value}/tensorboard")


if __name__ == "__main__":
    run_main(main)
