"""One run of this project or of FuxiCTR: the same network, the same rows of a batch, the same cores.

The network has the sizes of AdaEnsemble's comparison on Criteo (arXiv 2301.08353): D = 16 and dense layers of (500,
500, 500); DCN V2 also has four matrix crosses on normalised embeddings in parallel. Neither side has L2 or dropout.
"""

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
from ml_collections import ConfigDict

from ada_ensemble_tf.configs.overrides import override
from ada_ensemble_tf.trained.run_files import load_results
from ada_ensemble_tf.training.setup import build_model
from data_pipelines.errors import UserError
from data_pipelines.read.dataset import PreparedData
from experiments import criteo
from experiments.measuring.fuxictr_files import training_loss, write_weights
from experiments.measuring.processes import measured

PROJECT = Path(__file__).resolve().parents[2]
DIMENSION = 16
HIDDEN_UNITS = (500, 500, 500)
CROSSES = {"dcn_v2": 4, "dnn": 0}
"""Matrix crosses of the models that are compared."""
LOSS_ROWS = 4096
LOSS_TOLERANCE = 1e-5


class Setup(NamedTuple):
    """Settings shared by all runs of both sides.

    Attributes:
        python: the python of FuxiCTR's environment.
        workdir: the folder for logs and for a run's temporary files.
        cores: numbers of the cores that each process is pinned to; it has as many threads.
        batch_size: B.
        overrides: overrides of our config, in all runs.
    """

    python: str
    workdir: Path
    cores: tuple[int, ...]
    batch_size: int
    overrides: Mapping[str, Any]

    def pinned(self, command: Sequence[str]) -> list[str]:
        """The command, pinned to these cores."""
        threads = [f"{name}={len(self.cores)}" for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")]
        return ["taskset", "-c", ",".join(map(str, self.cores)), "env", *threads, *command]

    def config_values(self, model: str) -> dict[str, Any]:
        """What is set in the config `experiments/criteo.py:<model>`, by key."""
        values = {
            "batch_size": self.batch_size,
            "model.dimension": DIMENSION,
            "model.hidden_units": HIDDEN_UNITS,
            "model.l2": 0.0,
            "embedding_optimizer.name": "sparse_adam",
        }
        if CROSSES[model]:
            values |= {"model.num_layers": CROSSES[model], "model.structure": "parallel"}
        return values | dict(self.overrides)


def our_config(setup: Setup, model: str) -> ConfigDict:
    """The config that our side trains with."""
    config = criteo.get_config(model)
    override(config, setup.config_values(model))
    return config


def train_ours(setup: Setup, model: str, data_dir: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """Trains with the command line and these further keys of the config; what its metrics.json holds."""
    assignments = setup.config_values(model) | dict(values)
    command = [sys.executable, "-m", "ada_ensemble_tf.train", f"--config={PROJECT}/experiments/criteo.py:{model}"]
    command += [f"--config.{key}={value}" for key, value in assignments.items()]
    with tempfile.TemporaryDirectory(dir=setup.workdir) as workdir:
        command += [f"--data_dir={data_dir}", f"--workdir={workdir}/run"]
        measured(setup.pinned(command), setup.workdir / "train.log")
        return load_results(Path(workdir, "run"))


def run_fuxictr(setup: Setup, task: str, model: str, data_dir: Path, **options: str | int | Path) -> dict[str, Any]:
    """Runs a task of `fuxictr_model.py` with these further options; what it found."""
    script = Path(__file__).with_name("fuxictr_model.py")
    options |= {"task": task, "dimension": DIMENSION, "crosses": CROSSES[model], "batch_size": setup.batch_size}
    options |= {"data_dir": data_dir, "threads": len(setup.cores)}
    with tempfile.TemporaryDirectory(dir=setup.workdir) as root:
        options |= {"model_root": root, "out": Path(root, "found.json")}
        command = [setup.python, str(script), *(f"--{name}={value}" for name, value in options.items())]
        measured(setup.pinned([*command, "--hidden_units", *map(str, HIDDEN_UNITS)]), setup.workdir / "fuxictr.log")
        return json.loads(Path(root, "found.json").read_text(encoding="utf-8"))


def check_same(setup: Setup, model: str, data: PreparedData, fuxictr_dir: Path) -> None:
    """Prints the parameters and the loss of both networks with the same weights, in training mode.

    Raises:
        UserError: they differ.
    """
    ours = build_model(our_config(setup, model), data)
    # Biases start at 0 and scales at 1; noise makes every variable matter. The noise is small, because FuxiCTR's
    # float32 probabilities are 1 for large logits.
    noise = keras.random.SeedGenerator(0)
    for variable in ours.trainable_variables:
        variable.assign_add(keras.random.normal(variable.shape, stddev=0.01, seed=noise))
    with tempfile.TemporaryDirectory(dir=setup.workdir) as directory:
        weights = Path(directory, "weights.npz")
        write_weights(ours, data.schema, weights)
        rows = min(LOSS_ROWS, data.rows["train"])
        theirs = run_fuxictr(setup._replace(batch_size=rows), "loss", model, fuxictr_dir, weights=weights)
    loss = training_loss(ours, data, rows)
    parameters = sum(variable.numpy().size for variable in ours.trainable_variables)
    found = (
        f"{parameters:,} parameters and loss {loss:.6f}; FuxiCTR's {theirs['parameters']:,} and {theirs['loss']:.6f}"
    )
    print(f"{model}, table of {data.schema.num_rows:,} rows, same weights: {found}", flush=True)
    if parameters != theirs["parameters"] or abs(loss - theirs["loss"]) > LOSS_TOLERANCE * loss:
        raise UserError(f"{model}: the two networks are not the same: {found}")
