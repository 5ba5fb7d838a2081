"""Trains with --config.sharding.tables=columns on several devices beside one device: equal losses, tables and weights.

    .venv/bin/python -m experiments.benchmarks.sharded_training [--steps=200] [--cases=..] [--workers=4]

One device, eight logical devices of one process, and --workers processes of one device each train the same rows. These
have uneven fields: from 2 to 3,000 levels, one of several values, one of numbers that scale their embedding. With four
columns and eight devices, every field has fewer columns than there are devices. Models are small, without noise or
dropout, because replicas draw other noise than one process, and with options under which one process agrees with
itself when its sums round differently (see `experiments.benchmarks.workers`). Dense layers are not normalised: the bias
before a normalisation has no gradient but what rounding leaves of it, which Adam makes as large as any other.

Cases are AdaEnsemble in bi-level training, DCN V2 and a DHEN of eight layers, and DCN V2 with every optimiser that
updates rows. Processes train only the models, since what differs among optimisers does not depend on where devices are.
Compared are the losses of all reports, each a mean over four updates, and at the end every variable of the last
checkpoint: tables, optimisers' state and weights. It prints the largest differences, relative to 1 or the value's size,
and beside them, as "rounding", those of one device whose matrix products round differently (TF_ENABLE_ONEDNN_OPTS=0).
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from data_pipelines.errors import UserError, run_main
from experiments.measuring import made_once, verdict
from experiments.measuring.made_up_table import prepare_table
from experiments.measuring.worker_processes import finish, reported, start

BATCH, ROWS, DEVICES, TOLERANCE = 128, 6_000, 8, 1e-5
LEVELS = {"user": 3_000, "ad": 400, "place": 25, "hour": 24, "phone": 2}
COMMON = {
    "batch_size": BATCH,
    "eval_batch_size": 512,
    "report_every": 4,
    "patience": 1000,
    "max_epochs": 1000.0,
    "model.dimension": 4,
    "average_last": 1,
}
DENSE = {
    "model.activation": "gelu",
    "model.hidden_units": (16, 16),
    "model.dropout": 0.0,
    "model.normalization": "none",
}
STEADY = {"embedding_optimizer.learning_rate": 0.001, "embedding_optimizer.beta": 1.0}
SLOW = STEADY | {"embedding_optimizer.learning_rate": 1e-5, "weight_optimizer.learning_rate": 1e-5}
DCN = DENSE | {"model.num_layers": 2}
DEEP = {
    "model.num_layers": 8,
    "model.num_outputs": 4,
    "model.dlrm_units": (16,),
    "model.activation": "gelu",
    "model.embedding_normalization": "none",
    "model.embedding_scale": 0.3,
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "ada_ensemble": (
        "ada_ensemble",
        STEADY
        | {
            "training": "bilevel",
            "model.gate.noise": 0.0,
            "model.normalization": "none",
            "model.num_layers": 2,
            "model.depth_prior": (0.5, 0.5),
            "model.experts": ("dense", "cross", "polynomial"),
            "model.expert_prior": (0.4, 0.3, 0.3),
            "model.k": 2,
            "model.dropout": 0.0,
        },
    ),
    "dcn_v2": ("dcn_v2", DCN | STEADY),
    "dhen": ("dhen", SLOW | DEEP | {"model.dropout": 0.0}),
    "dcn_v2, sparse_adam": ("dcn_v2", DCN | {"embedding_optimizer": {"name": "sparse_adam"}}),
    "dcn_v2, sparse_adam, catch_up": (
        "dcn_v2",
        DCN | {"embedding_optimizer": {"name": "sparse_adam", "catch_up": True}},
    ),
    "dcn_v2, sparse_adagrad": ("dcn_v2", DCN | {"embedding_optimizer": {"name": "sparse_adagrad"}}),
    "dcn_v2, ftrl": ("dcn_v2", DCN | {"embedding_optimizer": {"name": "ftrl", "learning_rate": 0.001}}),
    "dcn_v2, grda": ("dcn_v2", DCN | {"embedding_optimizer": {"name": "grda", "learning_rate": 0.01}}),
    "dcn_v2, group_ftrl, l1, clipped": (
        "dcn_v2",
        DCN | STEADY | {"embedding_optimizer.l1": 1e-3, "embedding_optimizer.global_clipnorm": 0.5},
    ),
}
"""(model, config values) of each case."""
MODELS = ("ada_ensemble", "dcn_v2", "dhen")


def main(argv: Sequence[str]) -> None:
    """Trains everything and prints a table of the differences."""
    del argv
    values, workdir = flags.FLAGS, Path(flags.FLAGS.workdir)
    names = [name for name in CASES if not values.cases or name in values.cases.split(";")]
    if values.devices_here:
        _train_here(names, workdir, values.devices_here, values.rounding_here)
        return
    workdir.mkdir(parents=True, exist_ok=True)
    prepared(workdir)
    for devices, rounding in ((1, False), (1, True), (DEVICES, False)):
        _in_process(names, workdir, devices, rounding)
    for name in names if values.workers else ():
        if name in MODELS:
            folder = folder_of(workdir, name, f"{values.workers}_processes")
            shutil.rmtree(folder, ignore_errors=True)
            seconds = finish(start(_flags(name, workdir, columns=True), folder, values.workers), folder)
            print(f"{folder.name}: {seconds:.0f} s", flush=True)
    print("| case | devices | losses | tables | optimiser's state | weights |\n|---|---|---|---|---|---|")
    worst = 0.0
    for name in names:
        others = [
            "rounding",
            f"{DEVICES}_devices",
            *([f"{values.workers}_processes"] if name in MODELS and values.workers else []),
        ]
        for other in others:
            found = differences(*(folder_of(workdir, name, where) for where in ("1_devices", other)))
            if other != "rounding":
                worst = max(worst, *(found[kind] for kind in ("losses", "tables", "weights")))
            print(f"| {name} | {other.replace('_', ' ')} | {' | '.join(f'{x:.1e}' for x in found.values())} |")
    print(verdict(f"losses, tables and weights within {TOLERANCE:.0e}", worst <= TOLERANCE, f"{worst:.1e}"))


def folder_of(workdir: Path, name: str, where: str) -> Path:
    """The working directory of a training."""
    return workdir / f"{name.replace(', ', '_')}_{where}"


def prepared(workdir: Path) -> Path:
    """The prepared rows."""
    final = workdir / "rows"
    if final.is_dir():
        return final / "data"
    random = np.random.default_rng(0)
    with made_once(final) as folder:
        levels = {name: (count * random.random(ROWS) ** 2).astype(int) for name, count in LEVELS.items()}
        genres = [random.integers(0, 40, random.integers(1, 5)) for _ in range(ROWS)]
        price = random.normal(size=ROWS)
        score = 0.3 * price + levels["ad"] % 5 - 2 + np.array([own[0] % 3 - 1 for own in genres])
        clicks = random.random(ROWS) < 1.0 / (1.0 + np.exp(-score))
        lines = []
        for i in range(ROWS):
            own = [f"{name[0]}{levels[name][i]}" for name in LEVELS]
            lines.append(",".join([f"{clicks[i]:d}", f"{price[i]:.3f}", "|".join(map(str, genres[i])), *own]))
        fields: list[dict[str, Any]] = [
            {"name": "price", "kind": "numeric", "bins": "none"},
            {"name": "genres", "kind": "multi_valued", "separator": "|", "max_values": 4},
            *({"name": name, "kind": "categorical"} for name in LEVELS),
        ]
        prepare_table(folder, ",".join(["y", "price", "genres", *LEVELS]), lines, fields)
    return final / "data"


def config_values(name: str, columns: bool) -> dict[str, Any]:
    """The config values of a case."""
    steps = flags.FLAGS.steps
    values = COMMON | CASES[name][1] | {"max_steps": steps, "eval_every": steps // 4}
    return values | ({"sharding.tables": "columns"} if columns else {})


def _flags(name: str, workdir: Path, columns: bool) -> list[str]:
    values = [f"--config.{key}={value}" for key, value in config_values(name, columns).items()]
    return [f"--config=experiments/sample.py:{CASES[name][0]}", f"--data_dir={prepared(workdir)}", *values]


def _in_process(names: Sequence[str], workdir: Path, devices: int, rounding: bool) -> None:
    """Trains all cases in one process with so many devices; TensorFlow's devices cannot be changed later."""
    command = [sys.executable, "-m", __spec__.name, f"--workdir={workdir}", f"--cases={';'.join(names)}"]
    command += [f"--devices_here={devices}", f"--rounding_here={rounding}", f"--steps={flags.FLAGS.steps}"]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    environment |= {"TF_ENABLE_ONEDNN_OPTS": "0"} if rounding else {}
    if subprocess.run(command, env=environment).returncode:
        raise UserError(f"{devices} devices: a training failed, see above")


def _train_here(names: Sequence[str], workdir: Path, devices: int, rounding: bool) -> None:
    import tensorflow as tf
    from ml_collections import ConfigDict

    from ada_ensemble_tf.configs.defaults import optimizer_options
    from ada_ensemble_tf.configs.overrides import override
    from ada_ensemble_tf.training.run import train
    from data_pipelines.read.dataset import open_data
    from experiments import sample

    if devices > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
    for name in names:
        folder = folder_of(workdir, name, "rounding" if rounding else f"{devices}_devices")
        began = time.monotonic()
        shutil.rmtree(folder, ignore_errors=True)
        config, values = sample.get_config(CASES[name][0]), config_values(name, columns=devices > 1)
        if (optimizer := values.pop("embedding_optimizer", None)) is not None:
            config.embedding_optimizer = ConfigDict(optimizer_options() | optimizer)
        override(config, values | {"strategy": "mirrored" if devices > 1 else "none"})
        train(config, open_data(prepared(workdir)), folder)
        print(f"{folder.name}: {time.monotonic() - began:.0f} s", flush=True)


def differences(one: Path, other: Path) -> dict[str, float]:
    """The largest differences of two trainings: of losses, tables, optimisers' state, everything else."""
    from ada_ensemble_tf.trained.checkpoint import SavedValues

    losses, others = ({k: v for k, v in reported(run).items() if k[0].startswith("loss/")} for run in (one, other))
    if losses.keys() != others.keys() or not losses:
        raise UserError(f"{other}: its reports are of other steps than those of {one}")
    found = {"losses": max(_apart(np.array(losses[key]), np.array(others[key])) for key in losses)}
    found |= dict.fromkeys(("tables", "state", "weights"), 0.0)
    mine, theirs = (SavedValues(run / "checkpoints" / "last") for run in (one, other))
    if mine.names != theirs.names:
        raise UserError(f"{other}: its checkpoint has other variables than that of {one}")
    for name in mine.names:
        kind = kind_of(name)
        if kind:
            found[kind] = max(found[kind], _apart(mine.value(name), theirs.value(name)))
    return found


def kind_of(name: str) -> str | None:
    """Whether a saved variable is a table, an optimiser's state, or another weight; None for what is no number."""
    from ada_ensemble_tf.optimizers import OPTIMIZERS

    path = name.partition(".")[2]
    if "seed" in path or path.startswith(("best_", "evaluations", "progress", "examples", "seconds")):
        return None
    if path.partition(".")[0] in OPTIMIZERS:
        return "state"
    return "tables" if path.endswith(".table") else "weights"


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference, relative for values above 1."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    return float(np.max(np.abs(one - other) / np.maximum(1.0, np.abs(one)), initial=0.0))


if __name__ == "__main__":
    # Defined here, so that importing this module does not add flags to other commands.
    flags.DEFINE_integer("steps", 200, "Weight updates of each run.", lower_bound=8)
    flags.DEFINE_string("cases", "", "Separated by semicolons; all by default.")
    flags.DEFINE_integer("workers", 4, "Processes that train each model; 0 for none.", lower_bound=0)
    flags.DEFINE_integer("devices_here", 0, "Train in this process on so many devices; for the processes.")
    flags.DEFINE_bool("rounding_here", False, "Whether that process rounds differently.")
    flags.DEFINE_string("workdir", "runs/benchmarks/sharded_training", "Where rows and runs are put.")
    run_main(main)
