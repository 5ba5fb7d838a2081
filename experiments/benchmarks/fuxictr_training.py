"""Training speed compared with FuxiCTR on the CPU: examples/s, and the whole job from raw rows to test metrics.

    python3 -m venv runs/fuxictr_env
    runs/fuxictr_env/bin/pip install fuxictr==2.3.10 'polars<2' 'pandas<3' 'torch==2.13.*'
    .venv/bin/python -m experiments.benchmarks.fuxictr_training [--only=rate] [--models=dcn_v2]

torch's build for CPUs is enough. Each run is a separate process, pinned to --cores with as many threads. The sides take
turns, so that a machine that slows down slows both. Medians over --repeats are compared.

The networks are those of `fuxictr_runs.py`; `fuxictr_model.py` assembles FuxiCTR's from its layers. First both get the
same weights and rows: the numbers of parameters and the training loss must agree, or nothing is measured. Both train
with Adam at 1e-3: FuxiCTR with dense Adam, as its users do, through `BaseModel.fit`; ours through
`ada_ensemble_tf.train`, row-sparse for embeddings. --override=key=value changes other keys of our config.

rate: training rows/s over --steps steps of --batch_size rows, after --warmup ones. Synthetic Criteo rows, prepared by
us with --rate_min_count; by default the table has about a million rows. FuxiCTR gets the same rows as a file of its own
format, read by its loader: --reading=npz or parquet (through Ray), or memory, with batches made in advance. Our float32
and bfloat16 (--precisions) are each compared with FuxiCTR's float32.

job: raw rows to test metrics, --job_rows rows and the model --job_model: on our side `data_pipelines.prepare` and
`ada_ensemble_tf.train` for one epoch, which ends with the metrics of the validation and the test split. On FuxiCTR's
`build_dataset` from CSV files (writing those is not timed), one epoch of `fit` with validation, `evaluate` on test.
Whole processes are timed. Both split 70/10/20 and share levels seen fewer than --job_min_count times, but the splits
contain different rows, so AUCs differ by about 0.001 for 200,000 test rows. If ours is lower by more than 0.005, the
comparison is void.

Files made from rows stay in --workdir, and later runs use them again.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from ada_ensemble_tf.configs.overrides import parse
from data_pipelines.errors import run_main
from data_pipelines.read.dataset import PreparedData, open_data
from data_pipelines.synthetic import write
from experiments.benchmarks.fuxictr_runs import CROSSES, Setup, check_same, run_fuxictr, train_ours
from experiments.benchmarks.preparation import csv_files, fuxictr_version
from experiments.measuring import made_once, verdict
from experiments.measuring.fuxictr_files import write_rows
from experiments.measuring.processes import measured

TARGETS = {"float32": 1.2, "bfloat16": 2.0}
"""Target ratio of our examples/s in a precision to FuxiCTR's in float32."""
TARGET_JOB = 2.0
MAX_AUC_LOSS = 0.005
RATE_SPLIT = "0.96,0.02,0.02"
"""Most rows are for training: only that is timed."""


def main(argv: Sequence[str]) -> None:
    """Runs what --only asks for."""
    del argv
    arguments = flags.FLAGS
    workdir = Path(arguments.workdir).resolve()
    workdir.mkdir(parents=True, exist_ok=True)
    cores = tuple(int(core) for core in arguments.cores)
    overrides = parse(arguments.override)
    setup = Setup(arguments.fuxictr_python, workdir, cores, arguments.batch_size, overrides)
    print(f"FuxiCTR {fuxictr_version(setup.python)}, cores {', '.join(arguments.cores)}", flush=True)
    if arguments.only != "job":
        measure_rate(setup, arguments.models, arguments.repeats)
    if arguments.only != "rate":
        measure_job(setup, arguments.job_model, arguments.job_rows, arguments.repeats)


def measure_rate(setup: Setup, models: Sequence[str], repeats: int) -> None:
    """Trains each model with both sides in turn; prints rates, their ratios and the verdicts."""
    data, fuxictr_dir = _rate_data(setup)
    rates: dict[tuple[str, str], list[float]] = {}
    for model in models:
        check_same(setup, model, data, fuxictr_dir)
    precisions = flags.FLAGS.precisions
    for repeat in range(1, repeats + 1):
        for model in models:
            found = {f"ours, {name}": _our_rate(setup, model, data, name, repeat) for name in precisions}
            found["FuxiCTR, float32"] = _fuxictr_rate(setup, model, fuxictr_dir, repeat)
            for side, rate in found.items():
                rates.setdefault((model, side), []).append(rate)
            shown = (f"{side} {rate:,.0f}" for side, rate in found.items())
            print(f"repeat {repeat}, {model}, examples/s: {'; '.join(shown)}", flush=True)
    medians = {run: statistics.median(values) for run, values in rates.items()}
    print("\n| model | side | examples/s, median | lowest to highest | against FuxiCTR |\n|---|---|---|---|---|")
    for (model, side), values in rates.items():
        median, ratio = medians[model, side], medians[model, side] / medians[model, "FuxiCTR, float32"]
        print(f"| {model} | {side} | {median:,.0f} | {min(values):,.0f} to {max(values):,.0f} | {ratio:.2f} |")
    print()
    for model in models:
        for name in precisions:
            target = f"{model}, ours in {name} >= {TARGETS[name]} times FuxiCTR's float32"
            ratio = medians[model, f"ours, {name}"] / medians[model, "FuxiCTR, float32"]
            print(verdict(target, ratio >= TARGETS[name], f"{ratio:.2f}"))


def measure_job(setup: Setup, model: str, rows: int, repeats: int) -> None:
    """Takes raw rows to test metrics with both sides in turn; prints seconds, AUCs, the ratio and the verdict."""
    raw = setup.workdir / f"{rows}.txt"
    write(raw, rows)
    csv_dir = csv_files(setup.workdir, rows)
    runs: dict[str, list[dict[str, float]]] = {"ours": [], "FuxiCTR": []}
    for repeat in range(1, repeats + 1):
        for side, found in (
            ("ours", _our_job(setup, model, raw, repeat)),
            ("FuxiCTR", _fuxictr_job(setup, model, csv_dir, repeat)),
        ):
            runs[side].append(found)
            shown = (f"{name} {value:.4f}" for name, value in found.items())
            print(f"repeat {repeat}, {model}, {side}: {', '.join(shown)}", flush=True)
    names = ("prepare", "train and test", "whole", "test AUC", "test LogLoss")
    medians = {side: {n: statistics.median(run[n] for run in found) for n in names} for side, found in runs.items()}
    print(f"\n| {model}, {rows:,} rows | prepare, s | train and test, s | whole, s | test AUC | test LogLoss |")
    print("|---|---|---|---|---|---|")
    for side, found in medians.items():
        figures = " | ".join(f"{found[name]:.4f}" if "test " in name else f"{found[name]:.1f}" for name in names)
        print(f"| {side} | {figures} |")
    ratio = medians["FuxiCTR"]["whole"] / medians["ours"]["whole"]
    difference = medians["ours"]["test AUC"] - medians["FuxiCTR"]["test AUC"]
    print(f"\nAUC of ours less FuxiCTR's: {difference:+.4f}")
    target = f">= {TARGET_JOB} times FuxiCTR, raw file to test metrics"
    if difference < -MAX_AUC_LOSS:
        print(f"target {target}: void, our AUC is lower by more than {MAX_AUC_LOSS} ({ratio:.2f})")
    else:
        print(verdict(target, ratio >= TARGET_JOB, f"{ratio:.2f}"))


def _our_rate(setup: Setup, model: str, data: PreparedData, precision: str, seed: int) -> float:
    warmup, steps = flags.FLAGS.warmup, flags.FLAGS.steps
    epoch = -(-data.rows["train"] // setup.batch_size)
    # The loop measures from its first report on and rounds epochs up to steps. With little data it evaluates often.
    epochs = (warmup + steps - 0.5) / epoch
    values = {"report_every": warmup, "max_epochs": epochs, "patience": warmup + steps, "seed": seed}
    return train_ours(setup, model, data.path, values | {"precision": precision})["examples_per_second"]


def _fuxictr_rate(setup: Setup, model: str, fuxictr_dir: Path, seed: int) -> float:
    options: dict[str, Any] = {name: flags.FLAGS[name].value for name in ("warmup", "steps", "reading")}
    return run_fuxictr(setup, "rate", model, fuxictr_dir, seed=seed, **options)["examples_per_second"]


def _our_job(setup: Setup, model: str, raw: Path, seed: int) -> dict[str, float]:
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=setup.workdir) as directory:
        data_dir = Path(directory, "data")
        _prepare(setup, raw, data_dir, f"--min_count={flags.FLAGS.job_min_count}")
        prepared = time.perf_counter()
        metrics = train_ours(setup, model, data_dir, {"max_epochs": 1.0, "seed": seed})
        return _job_figures(start, prepared, metrics["test"])


def _fuxictr_job(setup: Setup, model: str, csv_dir: Path, seed: int) -> dict[str, float]:
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=setup.workdir) as directory:
        script = str(Path(__file__).with_name("fuxictr_preparation.py"))
        options = [f"--csv_dir={csv_dir}", f"--out={directory}", f"--min_count={flags.FLAGS.job_min_count}"]
        measured(setup.pinned([setup.python, script, *options]), setup.workdir / "fuxictr_preparation.log")
        prepared = time.perf_counter()
        found = run_fuxictr(setup, "job", model, Path(directory, "criteo"), seed=seed)
        return _job_figures(start, prepared, found)


def _job_figures(start: float, prepared: float, scores: dict[str, Any]) -> dict[str, float]:
    end = time.perf_counter()
    seconds = {"prepare": prepared - start, "train and test": end - prepared, "whole": end - start}
    return seconds | {"test AUC": scores["auc"], "test LogLoss": scores["logloss"]}


def _rate_data(setup: Setup) -> tuple[PreparedData, Path]:
    """(prepared data, the same rows for FuxiCTR)."""
    rows, min_count = flags.FLAGS.rate_rows, flags.FLAGS.rate_min_count
    raw, data_dir = setup.workdir / f"{rows}.txt", setup.workdir / f"{rows}_{min_count}_prepared"
    write(raw, rows)
    if not data_dir.is_dir():
        _prepare(setup, raw, data_dir, f"--min_count={min_count}", f"--split={RATE_SPLIT}")
    data = open_data(data_dir)
    fuxictr_dir = setup.workdir / f"{data.fingerprint}_fuxictr"
    if not fuxictr_dir.is_dir():
        with made_once(fuxictr_dir) as directory:
            write_rows(data, directory)
    return data, fuxictr_dir


def _prepare(setup: Setup, raw: Path, data_dir: Path, *options: str) -> None:
    command = [sys.executable, "-m", "data_pipelines.prepare", "--dataset=criteo", *options]
    measured(setup.pinned([*command, f"--raw={raw}", f"--data_dir={data_dir}"]), setup.workdir / "prepare.log")


if __name__ == "__main__":
    # Defined here, so that importing this module does not add flags to other commands.
    flags.DEFINE_string("workdir", "runs/benchmarks/fuxictr_training", "Where rows are made, kept and used again.")
    flags.DEFINE_string("fuxictr_python", "runs/fuxictr_env/bin/python", "Python of an environment with FuxiCTR.")
    flags.DEFINE_enum("only", "both", ["rate", "job", "both"], "What to measure.")
    flags.DEFINE_multi_enum("models", list(CROSSES), list(CROSSES), "Whose rates are measured.")
    flags.DEFINE_multi_enum("precisions", list(TARGETS), list(TARGETS), "Of our side, in rate.")
    flags.DEFINE_integer("repeats", 5, "Timed runs of each side.", lower_bound=1)
    flags.DEFINE_list("cores", ["0", "1"], "Cores that processes are pinned to.")
    flags.DEFINE_integer("batch_size", 4096, "Rows of a batch.", lower_bound=1)
    flags.DEFINE_multi_string("override", [], "key=value, of our config.")
    flags.DEFINE_integer("rate_rows", 2_600_000, "Synthetic rows of rate; 96 % are the training split.", lower_bound=1)
    flags.DEFINE_integer("rate_min_count", 2, "--min_count of rate.", lower_bound=1)
    flags.DEFINE_integer("warmup", 20, "Untimed steps of rate.", lower_bound=1)
    flags.DEFINE_integer("steps", 60, "Timed steps of rate.", lower_bound=1)
    flags.DEFINE_enum("reading", "npz", ["npz", "parquet", "memory"], "How FuxiCTR reads rows in rate.")
    flags.DEFINE_integer("job_rows", 1_000_000, "Synthetic raw rows of job.", lower_bound=1)
    flags.DEFINE_integer("job_min_count", 10, "Rarer levels share an id in job.", lower_bound=1)
    flags.DEFINE_enum("job_model", "dcn_v2", list(CROSSES), "Model of job.")
    run_main(main)
