"""Training on two workers against one process: the same losses, and the same end after a worker was killed.

    .venv/bin/python -m experiments.benchmarks.workers [--steps=200] [--rows=20000] [--models=ada_ensemble,dcn_v2]

Each worker is a process of this machine; they talk over the loopback device. Synthetic Criteo rows, small models of few
experts, without noise, for replicas draw other noise than one process does.

* losses: of every report of a run, a few updates each, the largest difference between two workers and one process. Two
  processes add up in another order than one, and training makes much of the last digit: at the kink of a ReLU and at a
  tie of two experts a row that is on the other side changes a gradient by whole per cents. So models are compared with
  options under which one process agrees with itself, `STEADY`.
* rounding: the same with the options of their configs, beside what one process differs from itself if nothing but the
  rounding of its matrix products changes (TF_ENABLE_ONEDNN_OPTS=0).
* killed: AdaEnsemble on two workers, of which one (then the other, which is the chief) is killed with SIGKILL after the
  first checkpoint and started again; its validation and test metrics against those of the run that was left alone.

Runs are made anew each time; the prepared rows stand in --workdir and are used again.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from absl import flags

from data_pipelines.errors import UserError, run_main
from data_pipelines.read.dataset import PreparedData
from experiments.benchmarks import verdict
from experiments.benchmarks.prepared_rows import prepared

BATCH = 256
TOLERANCE = 1e-5
NO_NOISE = ["--config.model.gate.noise=0.0"]
SMALL = {
    "ada_ensemble": [
        *NO_NOISE,
        "--config.model.dimension=4",
        "--config.model.num_layers=2",
        "--config.model.depth_prior=(0.5, 0.5)",
        "--config.model.experts=('dense', 'cross', 'polynomial')",
        "--config.model.expert_prior=(0.4, 0.3, 0.3)",
        "--config.model.k=2",
    ],
}
"""What makes a model small; other models are as their configs have them."""
STEADY = {
    "ada_ensemble": ["--config.embedding_optimizer.learning_rate=0.001", "--config.embedding_optimizer.beta=1.0"],
    "dcn_v2": ["--config.model.activation=gelu"],
}
"""What keeps a model's training from making much of the last digit."""
OTHER_ROUNDING = {"TF_ENABLE_ONEDNN_OPTS": "0"}


def main(argv: Sequence[str]) -> None:
    """Runs all, prints what differs, and the verdicts."""
    del argv
    workdir, steps = Path(flags.FLAGS.workdir), flags.FLAGS.steps
    data = prepared(workdir, flags.FLAGS.rows)
    epochs = steps * BATCH / data.part_rows("train", 0.1)
    models = flags.FLAGS.models.split(",")
    lines = []
    for model in models:
        arguments, steady = training_arguments(model, data, epochs), STEADY.get(model, [])
        one = _train([*arguments, *steady], workdir / f"{model}_steady_one")
        worst, found = _worst(one, _train([*arguments, *steady], workdir / f"{model}_steady_two", workers=2))
        lines.append(verdict(f"{model}: losses of two workers within {TOLERANCE:.0e}", worst <= TOLERANCE, found))
        one = _train(arguments, workdir / f"{model}_one")
        _, workers = _worst(one, _train(arguments, workdir / f"{model}_two", workers=2))
        _, rounding = _worst(one, _train(arguments, workdir / f"{model}_rounding", environment=OTHER_ROUNDING))
        lines.append(f"{model}, options of its config: two workers {workers}; rounding alone {rounding}")
    for killed in (1, 0):
        folder = workdir / f"{models[0]}_killed_{killed}"
        shutil.rmtree(folder, ignore_errors=True)
        seconds = train_with_a_loss(training_arguments(models[0], data, epochs), folder, killed)
        worst = worst_difference(folder, workdir / f"{models[0]}_two")
        print(f"{models[0]}: worker {killed} killed and started again: {seconds:.0f} s in all", flush=True)
        target = f"metrics as without the loss of worker {killed} within {TOLERANCE:.0e}"
        lines.append(verdict(target, worst <= TOLERANCE, f"{worst:.1e}"))
    print(*lines, sep="\n")


def _train(
    arguments: Sequence[str], workdir: Path, workers: int = 1, environment: Mapping[str, str] | None = None
) -> Path:
    shutil.rmtree(workdir, ignore_errors=True)
    seconds = finish(start(arguments, workdir, workers, environment=environment), workdir)
    print(f"{workdir.name}: {workers} worker(s) took {seconds:.0f} s", flush=True)
    return workdir


def _worst(one: Path, other: Path) -> tuple[float, str]:
    """The largest difference of a loss between two runs, and where it was."""
    both = (reported(workdir) for workdir in (one, other))
    losses, others = ({k: v for k, v in run.items() if not k[0].startswith("metrics/")} for run in both)
    if losses.keys() != others.keys() or not losses:
        raise UserError(f"{other}: its reports are of other steps than those of {one}")
    worst, (_, step) = max((abs(losses[key] - others[key]), key) for key in losses)
    return worst, f"{worst:.1e} (step {step}) over {len(losses)} losses to step {max(step for _, step in losses)}"


def training_arguments(model: str, data: PreparedData, epochs: float) -> list[str]:
    """Those of `ada_ensemble_tf.train` but --workdir: short reports, an evaluation an epoch, no early stopping."""
    fixed = {"batch_size": BATCH, "report_every": 4, "patience": 1000, "max_epochs": epochs}
    options = [f"--config.{key}={value}" for key, value in fixed.items()]
    return [f"--config=experiments/synthetic.py:{model}", f"--data_dir={data.path}", *options, *SMALL.get(model, [])]


def start(
    arguments: Sequence[str],
    workdir: Path,
    workers: int,
    addresses: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> list:
    """Starts the workers of a training, which print to `workdir`.worker_<i>.log.

    Args:
        arguments: of the command, but --workdir.
        workdir: of the training.
        workers: how many; one has no TF_CONFIG.
        addresses: where they listen; free ports of this machine by default.
        environment: variables beside this process's, or in the place of its own.
    """
    addresses = addresses or [f"127.0.0.1:{port}" for port in free_ports(workers)]
    for i in range(workers):
        log_of(workdir, i).unlink(missing_ok=True)
    return [start_one(arguments, workdir, addresses, i, environment) for i in range(workers)]


def start_one(
    arguments: Sequence[str],
    workdir: Path,
    addresses: Sequence[str],
    worker: int,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen:
    """Starts one of the workers that listen at `addresses`."""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""} | dict(environment or {})
    environment.pop("TF_CONFIG", None)
    if len(addresses) > 1:
        task = {"type": "worker", "index": worker}
        environment["TF_CONFIG"] = json.dumps({"cluster": {"worker": list(addresses)}, "task": task})
    command = [sys.executable, "-m", "ada_ensemble_tf.train", *arguments, f"--workdir={workdir}"]
    with open(log_of(workdir, worker), "a") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)


def log_of(workdir: Path, worker: int) -> Path:
    """What a worker prints."""
    return workdir.with_name(f"{workdir.name}.worker_{worker}.log")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def train_with_a_loss(arguments: Sequence[str], workdir: Path, killed: int) -> float:
    """Trains on two workers, of which one is killed after the first checkpoint and started again; seconds in all."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    began, processes = time.monotonic(), start(arguments, workdir, 2, addresses)
    try:
        while not (workdir / "checkpoints" / "last" / "checkpoint").exists():
            if any(process.poll() is not None for process in processes):
                raise UserError(f"{workdir}: a worker ended before the first checkpoint, see its log beside it")
            time.sleep(0.05)
        os.kill(processes[killed].pid, signal.SIGKILL)
        processes[killed].wait()
        if (workdir / "metrics.json").exists():
            raise UserError(f"{workdir}: the training ended before a worker could be killed: use more --steps")
        processes[killed] = start_one(arguments, workdir, addresses, killed)
        finish(processes, workdir)
        return time.monotonic() - began
    finally:
        end(processes)


def finish(processes: Sequence[subprocess.Popen], workdir: Path) -> float:
    """Waits for the workers of a training; seconds that took. Raises UserError where one fails."""
    began = time.monotonic()
    try:
        # One that fails leaves the others waiting for it.
        while any(process.poll() is None for process in processes) and not any(process.poll() for process in processes):
            time.sleep(0.05)
    finally:
        end(processes)
    if any(process.returncode for process in processes):
        raise UserError(f"{workdir}: a worker failed, see its log beside it")
    return time.monotonic() - began


def end(processes: Sequence[subprocess.Popen]) -> None:
    """Kills those that still run."""
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.wait()


def reported(workdir: Path) -> dict[tuple[str, int], float]:
    """What TensorBoard has of training and validation, by tag and step, less what a clock measured."""
    import tensorflow as tf

    figures = {}
    for file in sorted((workdir / "tensorboard").glob("*/*tfevents*")):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                if value.tag.startswith(("loss/", "gate_update/", "metrics/")):
                    figures[value.tag, event.step] = float(tf.make_ndarray(value.tensor))
    return figures


def worst_difference(*workdirs: Path) -> float:
    """The largest difference between the validation and test metrics of two trainings, relative for those above 1."""
    one, other = (json.loads((workdir / "metrics.json").read_text()) for workdir in workdirs)
    pairs = [(one[split], other[split]) for split in ("validation", "test")]
    return max(abs(a[name] - b[name]) / max(1.0, abs(a[name])) for a, b in pairs for name in a)


if __name__ == "__main__":
    # Here, so that importing this module leaves the flags of other command lines alone.
    flags.DEFINE_integer("steps", 200, "Weight updates of each run.", lower_bound=8)
    flags.DEFINE_integer("rows", 20_000, "Synthetic rows; 70 % of them are the training split.", lower_bound=2_000)
    flags.DEFINE_string("models", "ada_ensemble,dcn_v2", "Compared with one process; the first is also killed.")
    flags.DEFINE_string("workdir", "runs/benchmarks/workers", "Where rows and runs are put.")
    run_main(main)
