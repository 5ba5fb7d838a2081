"""A newcomer's first minutes, by the clock: what README's commands take in fresh folders.

python -m experiments.benchmarks.newcomer --workdir=DIR --csv=clicks.csv [--ways=checkout,wheel,table]

Each way starts from nothing but Python and pip in a folder of its own:

checkout    `git clone`, then `make train`: a trained, evaluated and exported model of made-up rows
wheel       the wheel is built, then installed with [train] in a new virtual environment; made-up rows of Criteo's
            format are prepared, trained on, exported and scored there
table       in the same environment, README's five commands on a CSV file of your own: from a first schema to the
            report and a score for each row

Prints each command with its seconds, what each way took in all, and what it left. A command that fails ends the
measurement. pip uses its cache, so a second measurement on the same machine downloads less.
"""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from data_pipelines.errors import UserError, run_main

ROOT = Path(__file__).parents[2]
WAYS = ("checkout", "wheel", "table")
ROWS = 100_000


def timed(command: Sequence[str], folder: Path, shown: str = "") -> float:
    """The seconds that a command takes in a folder; prints them, and its output goes into the folder's log.txt.

    Raises:
        UserError: if it fails.
    """
    started = time.perf_counter()
    log = folder / "log.txt"
    with log.open("ab") as file:
        code = subprocess.run(command, cwd=folder, stdout=file, stderr=subprocess.STDOUT).returncode
    seconds = time.perf_counter() - started
    print(f"{seconds:7.1f} s  {shown or ' '.join(command)}", flush=True)
    if code:
        raise UserError(f"{' '.join(command)}: ended with {code}; its output is in {log}")
    return seconds


def checkout(folder: Path) -> float:
    """From a clone to the first exported model."""
    seconds = timed(["git", "clone", "--quiet", str(ROOT), "clone"], folder, "git clone")
    return seconds + timed(["make", "--directory=clone", "train"], folder, "make train")


def install(folder: Path) -> float:
    """From a clone to an environment with the command `ada-ensemble`."""
    # A wheel is built where its sources are, which leaves files there.
    seconds = timed(["git", "clone", "--quiet", str(ROOT), "clone"], folder, "git clone")
    wheel_command = ["pip", "wheel", "--quiet", "--no-deps", "--wheel-dir=.", "./clone"]
    seconds += timed([sys.executable, "-m", *wheel_command], folder, " ".join(wheel_command))
    seconds += timed([sys.executable, "-m", "venv", "venv"], folder, "python -m venv venv")
    (wheel,) = folder.glob("*.whl")
    return seconds + timed(
        ["venv/bin/pip", "install", "--quiet", f"{wheel}[train]"], folder, f"pip install {wheel.name}"
    )


def run_all(folder: Path, commands: Sequence[str]) -> float:
    """The seconds of commands of the installed package, in order."""
    return sum(timed([f"venv/bin/{command.split()[0]}", *command.split()[1:]], folder, command) for command in commands)


def first_scores(folder: Path) -> float:
    """From raw rows of Criteo's format to the scores of an exported model."""
    train = "--data_dir=criteo/data --workdir=criteo/run"
    return run_all(folder, [
        f"python -m data_pipelines.synthetic --rows={ROWS} --out=train.txt",
        "ada-ensemble prepare --dataset=criteo --raw=train.txt --data_dir=criteo/data",
        f"ada-ensemble train --config=synthetic:ada_ensemble {train}",
        "ada-ensemble export --workdir=criteo/run",
        "ada-ensemble predict --workdir=criteo/run --raw=train.txt --out=ctr.csv",
    ])  # fmt: skip


def own_table(folder: Path, csv: Path) -> float:
    """README's five commands on a table of one's own."""
    train = "--data_dir=mine/data --workdir=mine/run"
    return run_all(folder, [
        f"ada-ensemble doctor --suggest_schema=schema.json --raw={csv}",
        f"ada-ensemble prepare --dataset=tabular --schema=schema.json --raw={csv} --data_dir=mine/data --min_count=2",
        f"ada-ensemble train --config=tabular:ada_ensemble {train}",
        "ada-ensemble report --workdir=mine/run",
        f"ada-ensemble predict --workdir=mine/run --raw={csv} --out=mine.csv",
    ])  # fmt: skip


def main(argv: Sequence[str]):
    """Measures the ways that are asked for."""
    del argv
    workdir = Path(flags.FLAGS.workdir).absolute()
    ways = flags.FLAGS.ways
    csv = Path(flags.FLAGS.csv).absolute() if flags.FLAGS.csv else None
    if "table" in ways and (csv is None or not csv.is_file()):
        raise UserError(
            f"--csv={flags.FLAGS.csv}: no such file; name a CSV file with a label, or leave out the way 'table'"
        )
    if workdir.exists() and any(workdir.iterdir()):
        raise UserError(f"--workdir={workdir}: is not empty; a first time needs a new folder")
    for name in ("checkout", "wheel"):
        (workdir / name).mkdir(parents=True)
    if "checkout" in ways:
        print(f"{checkout(workdir / 'checkout'):7.1f} s  from a clone to an exported model\n")
    if {"wheel", "table"} & set(ways):
        installed = install(workdir / "wheel")
        if "wheel" in ways:
            scored = installed + first_scores(workdir / "wheel")
            print(f"{scored:7.1f} s  from the sources of the wheel to a score for each of {ROWS:,} rows\n")
        if csv is not None and "table" in ways:
            print(f"{own_table(workdir / 'wheel', csv):7.1f} s  from a CSV file to its report and scores")


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "A new folder for all that is made.", required=True)
    flags.DEFINE_string("csv", None, "A CSV file with a header and a label, for the way 'table'.")
    flags.DEFINE_list("ways", list(WAYS), "What to measure: checkout, wheel, table.")
    flags.register_validator("ways", lambda ways: set(ways) <= set(WAYS), f"must be some of {', '.join(WAYS)}")
    run_main(main)
