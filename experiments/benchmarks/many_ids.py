"""A column of ids that are nearly all different, as a hashed and as a categorical field: memory from table to export.

    .venv/bin/python -m experiments.benchmarks.many_ids --rows=5000000 [--kinds=hashed,categorical]

Each of the --rows rows has an id of its own (sixteen hex digits), which no vocabulary can keep in bounded memory: with
--min_count=1, the categorical field has as many levels as the training split has rows. `prepare`, `train` (logistic
regression, one pass over --train_rows rows at most) and `export` run as processes of their own, first with the hashed
field of --buckets buckets, then with the categorical one. It prints the seconds of each and the peak of the resident
set size, summed over the process and its descendants. The two should agree in nothing but the rows: what grows with
ids in the second does not in the first. A step that fails, such as a vocabulary beyond --memory_gb, prints its error.
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from absl import flags

from data_pipelines.errors import UserError, run_main
from data_pipelines.row_hashes import splitmix64
from experiments.measuring import made_once, verdict
from experiments.measuring.processes import measured

GIB = 1 << 30
_CHUNK = 1 << 20
_BATCH = 8192


def main(argv: Sequence[str]) -> None:
    """Runs the steps of both kinds and prints a table."""
    del argv
    rows, workdir = flags.FLAGS.rows, Path(flags.FLAGS.workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    raw = _raw(workdir, rows)
    kinds = {"hashed": {"kind": "hashed", "buckets": flags.FLAGS.buckets}, "categorical": {"kind": "categorical"}}
    if unknown := set(flags.FLAGS.kinds) - set(kinds):
        raise UserError(f"--kinds: there is no kind {min(unknown)!r}; there are {', '.join(kinds)}")
    peaks: dict[str, dict[str, float]] = {}
    for name in flags.FLAGS.kinds:
        peaks[name] = _run(name, kinds[name], raw, workdir)
    bound = flags.FLAGS.memory_gb
    for step, peak in peaks.get("hashed", {}).items():
        print(verdict(f"hashed: {step} within --memory_gb={bound:g}", peak <= bound, f"{peak:.2f} GiB"))


def _run(name: str, kind: dict[str, object], raw: Path, workdir: Path) -> dict[str, float]:
    """The peak of each step, in GiB."""
    peaks = {}
    with tempfile.TemporaryDirectory(dir=workdir) as directory:
        folder = Path(directory)
        fields = [{"name": "id"} | kind, {"name": "place", "kind": "categorical"}]
        (folder / "schema.json").write_text(json.dumps({"label": "y", "fields": fields}))
        data, run = f"--data_dir={folder / 'data'}", f"--workdir={folder / 'run'}"
        steps = round(min(flags.FLAGS.train_rows, 0.7 * flags.FLAGS.rows) / _BATCH) or 1
        table = ["--dataset=tabular", f"--schema={folder / 'schema.json'}", f"--raw={raw}", "--min_count=1"]
        commands = {
            "prepare": ["data_pipelines.prepare", *table, f"--memory_gb={flags.FLAGS.memory_gb}", data],
            "train": [
                *("ada_ensemble_tf.train", "--config=experiments/sample.py:logistic_regression", data, run),
                *(f"--config.batch_size={_BATCH}", f"--config.eval_batch_size={_BATCH}"),
                *(f"--config.max_steps={steps}", f"--config.eval_every={steps}"),
            ],
            "export": ["ada_ensemble_tf.export", run],
        }
        for step, command in commands.items():
            try:
                found = measured([sys.executable, "-m", *command], workdir / f"{name}_{step}.log")
            except UserError as error:
                print(f"{name:<12}{step:<8} fails: {error}", flush=True)
                break
            peaks[step] = found.peak_bytes / GIB
            print(f"{name:<12}{step:<8}{found.seconds:7.0f} s {peaks[step]:6.2f} GiB", flush=True)
        for path, what in (("data", "prepared data"), ("run/export", "export")):
            size = sum(file.stat().st_size for file in (folder / path).rglob("*") if file.is_file())
            print(f"{name:<12}{what}: {size / GIB:.2f} GiB on disk", flush=True)
    return peaks


def _raw(workdir: Path, rows: int) -> Path:
    """The table: every id once, a place of 100 that decides the click, the click."""
    folder = workdir / f"{rows}_ids"
    if folder.exists():
        return folder / "table.csv"
    with made_once(folder) as made, (made / "table.csv").open("wb") as file:
        for start in range(0, rows, _CHUNK):
            ids = splitmix64(np.arange(start, min(start + _CHUNK, rows), dtype=np.uint64))
            places = ids % np.uint64(100)
            clicks = (ids >> np.uint64(32)) % np.uint64(200) < places
            texts = pl.Series([f"{one:016x}" for one in ids.tolist()])
            frame = pl.DataFrame({"id": texts, "place": places, "y": clicks.astype(np.uint8)})
            frame.write_csv(file, include_header=start == 0)
    return folder / "table.csv"


if __name__ == "__main__":
    flags.DEFINE_integer("rows", 5_000_000, "Rows, each with an id of its own.", lower_bound=1000)
    flags.DEFINE_list("kinds", ["hashed", "categorical"], "Kinds of the field of ids.")
    flags.DEFINE_integer("train_rows", 1_000_000, "Rows trained on at most.", lower_bound=1)
    flags.DEFINE_integer("buckets", 1_000_000, "Of the hashed field.", lower_bound=2)
    flags.DEFINE_float("memory_gb", 3.0, "Bound on the memory of prepare, GiB.")
    flags.DEFINE_string("workdir", "runs/many_ids", "Keeps the table and the steps' output.")
    run_main(main)
