"""Speed and memory of preparing raw rows, and a comparison with FuxiCTR's preprocessing.

    .venv/bin/python -m experiments.benchmarks.preparation [--only=scaling]
    .venv/bin/python -m experiments.benchmarks.preparation --only=fuxictr --fuxictr_python=runs/fuxictr_env/bin/python

`fuxictr_preparation.py` says how to make FuxiCTR's environment. Each run is a separate process, timed from its start to
its end (imports included). It writes to a new directory that is removed afterwards. The two sides take turns, so that a
machine that slows down slows both. The synthetic Criteo rows are made in advance and kept in --workdir.

scaling: `data_pipelines.prepare` on --small_rows and --large_rows. Memory is the resident set size (RSS) summed over
the process and all its descendants, sampled every 50 ms. RSS is the strictest choice: pages that processes share count
once for each process. Sampling takes about 2 % of a core. It prints rows/s, the peak in GiB, the ratio of peaks, disk
per row, and a projection for the full Criteo data: time from the large runs' median rate, and memory from their peak,
which is valid if peaks do not grow with rows.

fuxictr: `data_pipelines.prepare` on --fuxictr_rows compared with FuxiCTR on the same rows, with the same threshold of
20. FuxiCTR gets CSV files with a header, split 70/10/20; writing those is not timed. First come two pairs of runs on
10,000 rows: an untimed pair for the page cache, and a pair that measures the time to start. FuxiCTR starts Ray, which
may be most of its time, so the ratio without the start is also printed. The target is for whole processes.
"""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import polars as pl
from absl import flags

from data_pipelines.errors import UserError, run_main
from data_pipelines.synthetic import write
from experiments.measuring import made_once, verdict
from experiments.measuring.processes import Run, measured

CRITEO_ROWS = 45_840_617
START_ROWS = 10_000
MIN_COUNT = 20
GIB = 1 << 30
TARGET_ROWS_PER_SECOND = 150_000
TARGET_PEAK_GIB = 3
TARGET_PEAK_GROWTH = 1.2
TARGET_RATIO = 5


def main(argv: Sequence[str]) -> None:
    """Runs what --only asks for."""
    del argv
    only, python = flags.FLAGS.only, flags.FLAGS.fuxictr_python
    if only == "fuxictr" and not python:
        raise UserError("--only=fuxictr needs --fuxictr_python, the python of an environment with FuxiCTR")
    workdir = Path(flags.FLAGS.workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    if only != "fuxictr":
        measure_scaling(workdir, flags.FLAGS.small_rows, flags.FLAGS.large_rows, flags.FLAGS.repeats)
    if only != "scaling" and python:
        measure_fuxictr(workdir, python, flags.FLAGS.fuxictr_rows, flags.FLAGS.repeats)
    elif only == "both":
        print("FuxiCTR is left out: no --fuxictr_python")


def measure_scaling(workdir: Path, small_rows: int, large_rows: int, repeats: int) -> None:
    """Prepares a small and a large file in turn and prints rates, peaks, the projection and the verdicts."""
    runs: dict[int, list[Run]] = {small_rows: [], large_rows: []}
    if len(runs) == 1:
        raise UserError(f"--small_rows and --large_rows should differ, both are {small_rows}")
    disk = {}
    for repeat in range(1, repeats + 1):
        for rows in runs:
            run, disk[rows] = _prepare(workdir, rows)
            runs[rows].append(run)
            _show(f"repeat {repeat}", rows, run)
    rate = large_rows / statistics.median(run.seconds for run in runs[large_rows])
    small_peak, large_peak = (max(run.peak_bytes for run in runs[rows]) / GIB for rows in (small_rows, large_rows))
    growth, row_bytes = large_peak / small_peak, disk[large_rows] / large_rows
    print(f"median {rate:,.0f} rows/s; peaks {small_peak:.2f} and {large_peak:.2f} GiB, ratio {growth:.2f}")
    print(f"on disk {row_bytes:.1f} bytes per row")
    print(
        f"full Criteo, {CRITEO_ROWS:,} rows: {CRITEO_ROWS / rate / 60:.1f} minutes, {large_peak:.2f} GiB of memory, "
        f"{CRITEO_ROWS * row_bytes / GIB:.1f} GiB of disk (projected)"
    )
    print(verdict(f">= {TARGET_ROWS_PER_SECOND:,} rows/s", rate >= TARGET_ROWS_PER_SECOND, f"{rate:,.0f}"))
    peak = max(small_peak, large_peak)
    print(verdict(f"peak <= {TARGET_PEAK_GIB} GiB", peak <= TARGET_PEAK_GIB, f"{peak:.2f}"))
    flat = 1 / TARGET_PEAK_GROWTH <= growth <= TARGET_PEAK_GROWTH
    print(verdict(f"peaks within {TARGET_PEAK_GROWTH - 1:.0%} of each other", flat, f"ratio {growth:.2f}"))


def measure_fuxictr(workdir: Path, python: str, rows: int, repeats: int) -> None:
    """Prepares one file with this project and with FuxiCTR in turn; prints rates, their ratio and the verdict."""
    print(f"FuxiCTR {fuxictr_version(python)}")
    _prepare(workdir, START_ROWS)
    _prepare_with_fuxictr(workdir, START_ROWS, python)
    start_ours, _ = _prepare(workdir, START_ROWS)
    start_theirs = _prepare_with_fuxictr(workdir, START_ROWS, python)
    _show("start: prepare", START_ROWS, start_ours)
    _show("start: FuxiCTR", START_ROWS, start_theirs)
    ours, theirs = [], []
    for repeat in range(1, repeats + 1):
        ours.append(_prepare(workdir, rows)[0])
        _show(f"repeat {repeat}: prepare", rows, ours[-1])
        theirs.append(_prepare_with_fuxictr(workdir, rows, python))
        _show(f"repeat {repeat}: FuxiCTR", rows, theirs[-1])
    our_seconds, their_seconds = (statistics.median(run.seconds for run in runs) for runs in (ours, theirs))
    ratio = their_seconds / our_seconds
    print(f"median: prepare {rows / our_seconds:,.0f} rows/s, FuxiCTR {rows / their_seconds:,.0f} rows/s, {ratio:.1f}x")
    our_rest, their_rest = our_seconds - start_ours.seconds, their_seconds - start_theirs.seconds
    if min(our_rest, their_rest) > 0:  # few rows may take no longer than the start
        print(f"less the start: prepare {our_rest:.1f} s, FuxiCTR {their_rest:.1f} s, {their_rest / our_rest:.1f}x")
    print(verdict(f">= {TARGET_RATIO} times FuxiCTR's rows/s", ratio >= TARGET_RATIO, f"{ratio:.1f}"))


def fuxictr_version(python: str) -> str:
    """The version of FuxiCTR in a python environment; raises UserError if it has none."""
    command = [python, "-c", "import fuxictr; print(fuxictr.__version__)"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        raise UserError(f"--fuxictr_python={python}: is not a python that can import fuxictr") from None


def csv_files(workdir: Path, rows: int) -> Path:
    """The rows as FuxiCTR wants them: train.csv, valid.csv and test.csv with a header."""
    csv_dir = workdir / f"{rows}_csv"
    if not csv_dir.exists():
        names = ["label", *(f"I{number}" for number in range(1, 14)), *(f"C{number}" for number in range(1, 27))]
        raw = _raw(workdir, rows)
        frame = pl.read_csv(raw, separator="\t", has_header=False, new_columns=names, infer_schema=False)
        train, valid = rows * 7 // 10, rows // 10
        with made_once(csv_dir) as directory:
            frame[:train].write_csv(directory / "train.csv")
            frame[train : train + valid].write_csv(directory / "valid.csv")
            frame[train + valid :].write_csv(directory / "test.csv")
    return csv_dir


def _prepare(workdir: Path, rows: int) -> tuple[Run, int]:
    """Prepares `rows` rows with this project; returns the run's figures and the bytes on disk."""
    raw = _raw(workdir, rows)
    with tempfile.TemporaryDirectory(dir=workdir) as directory:
        out = Path(directory, "data")
        options = ["--dataset=criteo", f"--min_count={MIN_COUNT}", f"--memory_gb={flags.FLAGS.memory_gb}"]
        command = [sys.executable, "-m", "data_pipelines.prepare", *options, f"--raw={raw}", f"--data_dir={out}"]
        run = measured(command, workdir / "prepare.log")
        return run, sum(file.stat().st_size for file in out.rglob("*") if file.is_file())


def _prepare_with_fuxictr(workdir: Path, rows: int, python: str) -> Run:
    csv_dir, log = csv_files(workdir, rows), workdir / "fuxictr.log"
    with tempfile.TemporaryDirectory(dir=workdir) as out:
        script = str(Path(__file__).with_name("fuxictr_preparation.py"))
        options = [f"--csv_dir={csv_dir}", f"--out={out}", f"--min_count={MIN_COUNT}"]
        run = measured([python, script, *options], log)
        found = pl.scan_parquet(Path(out, "criteo", "*.parquet")).select(pl.len()).collect().item()
    if found != rows:
        raise UserError(f"FuxiCTR wrote {found} rows instead of {rows}, see {log}")
    return run


def _raw(workdir: Path, rows: int) -> Path:
    raw = workdir / f"{rows}.txt"
    if not raw.exists():
        write(raw, rows)
    return raw


def _show(title: str, rows: int, run: Run) -> None:
    rate, peak = rows / run.seconds, run.peak_bytes / GIB
    print(f"{title}: {rows:,} rows in {run.seconds:.1f} s, {rate:,.0f} rows/s, peak {peak:.2f} GiB", flush=True)


if __name__ == "__main__":
    # Defined here, so that importing this module does not add flags to other commands.
    flags.DEFINE_string("workdir", "runs/benchmarks/preparation", "Where raw rows are made and kept.")
    flags.DEFINE_integer("small_rows", 2_500_000, "Rows of the small file.", lower_bound=1)
    flags.DEFINE_integer("large_rows", 10_000_000, "Rows of the large file.", lower_bound=1)
    flags.DEFINE_string("fuxictr_python", None, "Python of an environment with FuxiCTR.")
    flags.DEFINE_integer("fuxictr_rows", 400_000, "Rows that both prepare.", lower_bound=START_ROWS + 1)
    flags.DEFINE_integer("repeats", 3, "Timed runs of each.", lower_bound=1)
    flags.DEFINE_float("memory_gb", 3.0, "--memory_gb of data_pipelines.prepare.")
    flags.DEFINE_enum("only", "both", ["scaling", "fuxictr", "both"], "What to measure.")
    run_main(main)
