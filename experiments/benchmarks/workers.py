"""Compares training on two workers with one process: equal losses, and equal results after a worker was killed.

    .venv/bin/python -m experiments.benchmarks.workers [--steps=200] [--rows=20000] [--models=ada_ensemble,dcn_v2]

Each worker is a process on this machine; they communicate over the loopback device. Rows are synthetic Criteo rows, and
models are small, with few experts and without noise, because replicas draw different noise from one process.

* losses: the largest difference between two workers and one process over all reports of a run, each over a few updates.
    Two processes sum in another order than one, and training amplifies the last digit: at the kink of a ReLU, or at a
    tie between two experts, a row on the other side changes a gradient by whole per cents. So models are compared with
    options under which one process agrees with itself, `STEADY`.
* rounding: the same with the options of the models' configs, next to the difference between two runs of one process
    whose matrix products round differently (TF_ENABLE_ONEDNN_OPTS=0).
* killed: AdaEnsemble on two workers. One of them (then the other, the chief) is killed with SIGKILL after the first
    checkpoint and started again; validation and test metrics are compared with those of an undisturbed run.

Runs are repeated each time; the prepared rows stay in --workdir and are used again.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from absl import flags

from data_pipelines.errors import UserError, run_main
from data_pipelines.read.dataset import PreparedData
from experiments.measuring import verdict
from experiments.measuring.prepared_rows import prepared
from experiments.measuring.worker_processes import finish, reported, start, train_with_a_loss, worst_difference

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
"""Options that make a model small; other models use their configs."""
STEADY = {
    "ada_ensemble": ["--config.embedding_optimizer.learning_rate=0.001", "--config.embedding_optimizer.beta=1.0"],
    "dcn_v2": ["--config.model.activation=gelu"],
}
"""Options that keep training from amplifying the last digit."""
OTHER_ROUNDING = {"TF_ENABLE_ONEDNN_OPTS": "0"}


def main(argv: Sequence[str]) -> None:
    """Runs everything and prints the differences and the verdicts."""
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
    """Arguments of `ada_ensemble_tf.train` except --workdir: frequent reports and evaluations, no early stopping."""
    fixed = {"batch_size": BATCH, "report_every": 4, "patience": 1000, "max_epochs": epochs}
    options = [f"--config.{key}={value}" for key, value in fixed.items()]
    return [f"--config=experiments/synthetic.py:{model}", f"--data_dir={data.path}", *options, *SMALL.get(model, [])]


if __name__ == "__main__":
    # Defined here, so that importing this module does not add flags to other commands.
    flags.DEFINE_integer("steps", 200, "Weight updates of each run.", lower_bound=8)
    flags.DEFINE_integer("rows", 20_000, "Synthetic rows; 70 % of them are the training split.", lower_bound=2_000)
    flags.DEFINE_string("models", "ada_ensemble,dcn_v2", "Compared with one process; the first is also killed.")
    flags.DEFINE_string("workdir", "runs/benchmarks/workers", "Where rows and runs are put.")
    run_main(main)
