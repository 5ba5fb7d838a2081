"""Latency of exported models in TensorFlow's session: what exits and sparse routing save, and what a cold start costs.

    .venv/bin/python -m experiments.benchmarks.serving [--batch_sizes=1,64,512,4096] [--repeats=40] [--levels=25000]

Models have the sizes of AdaEnsemble's paper (arXiv 2301.08353): 39 fields, D = 16, four layers of its five experts,
with the paper's shares of experts and exits set by `steps.make_mixture`; DCN V2 has this zoo's defaults. The raw rows
have Criteo's columns, with --levels texts per categorical column, drawn uniformly. Each model is exported as `python -m
ada_ensemble_tf.export` does and loaded by the session loader of TF Serving's model server.

Models take turns in one process, for `serving_default` (raw columns) and `ids`; times include passing the request in
Python. Cold starts measure the first request of one row in fresh processes, in turns with the warm-up requests replayed
after loading and without them.
"""

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from absl import flags

from ada_ensemble_tf.inference.raw_text import random_ids, raw_text
from ada_ensemble_tf.models import DCNV2, AdaEnsemble, CTRModel, DenseMoE, model_inputs
from ada_ensemble_tf.serving.golden_rows import GoldenRows
from ada_ensemble_tf.serving.publish import export
from ada_ensemble_tf.serving.session import ServingSession
from data_pipelines.errors import UserError, run_main
from data_pipelines.fields.rules import LOG_PREFIX
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.formats.criteo import FORMAT, inputs
from experiments.measuring import steps, verdict

ROWS = 512
BINS = 60
TARGET_BATCH = 512
TARGETS = {"full depth": 0.80, "DenseMoE": 0.70}
TARGET_SINGLE = 2.0
TARGET_COLD = 0.1
FIRST_REQUEST = """
import sys, time
import numpy as np
from pathlib import Path
from ada_ensemble_tf.serving.golden_rows import GoldenRows
from ada_ensemble_tf.serving.session import ServingSession
from ada_ensemble_tf.serving.warmup import replay_warmup
folder = Path(sys.argv[1])
session, rows = ServingSession(folder), GoldenRows.load(folder)
if sys.argv[2] == "replayed":
    replay_warmup(folder, session)
start = time.perf_counter()
session("serving_default", rows.feed("serving_default", np.arange(1)))
print(time.perf_counter() - start)
"""


def main(argv: Sequence[str]) -> None:
    """Exports models that are not there yet, and prints tables and verdicts."""
    del argv
    sizes = sorted(int(size) for size in flags.FLAGS.batch_sizes)
    if not {1, TARGET_BATCH} <= set(sizes):
        raise UserError(f"--batch_sizes: the targets need 1 and {TARGET_BATCH}; got {sizes}")
    folders = _exports(Path(flags.FLAGS.workdir) / f"{flags.FLAGS.levels}_levels")
    sessions = {name: ServingSession(folder) for name, folder in folders.items()}
    rows = GoldenRows.load(folders["DCN V2"])
    p50: dict[str, dict[tuple[str, int], float]] = {}
    for signature in ("serving_default", "ids"):
        p50[signature] = {}
        print(f"\n{signature}, ms\n\n| model | " + " | ".join(f"p50, {n} rows | p99" for n in sizes) + " |")
        print("|---" * (1 + 2 * len(sizes)) + "|")
        times = {size: _alternate(sessions, signature, rows, size, flags.FLAGS.repeats) for size in sizes}
        for name in sessions:
            cells = []
            for size in sizes:
                percentiles = 1e3 * np.percentile(times[size][name], [50, 99])
                p50[signature][name, size] = percentiles[0]
                cells += [f"{value:.2f}" for value in percentiles]
            print(f"| {name} | {' | '.join(cells)} |")
    print()
    raw = p50["serving_default"]
    for other, target in TARGETS.items():
        ratio = raw["K = 3, exits", TARGET_BATCH] / raw[other, TARGET_BATCH]
        print(verdict(f"{TARGET_BATCH} rows: at most {target:.2f} of {other}", ratio <= target, f"{ratio:.2f}"))
    ratio = raw["K = 3, exits", 1] / raw["DCN V2", 1]
    print(verdict(f"one row: within {TARGET_SINGLE:g} times DCN V2", ratio <= TARGET_SINGLE, f"{ratio:.2f}"))
    _cold_starts(folders["K = 3, exits"], flags.FLAGS.cold_starts)


def _exports(workdir: Path) -> dict[str, Path]:
    """The folder of each model; exports it if it is missing."""
    workdir.mkdir(parents=True, exist_ok=True)
    # Values from -1 to 2 and the missing value are separate levels next to the bins.
    numeric = [*(f"={v}" for v in range(-1, 3)), *(f"{LOG_PREFIX}{i}" for i in range(1, BINS)), ""]
    texts = [f"{i * 2654435761 % 2**32:08x}" for i in range(flags.FLAGS.levels)]
    known = {one.name: pl.Series(numeric if one.transform == "log_square" else texts) for one in inputs()}
    vocabularies = Vocabularies.from_levels(FORMAT, inputs(), known)
    vocabularies.save(workdir)
    schema = vocabularies.schema
    columns = raw_text(vocabularies, *random_ids(schema, ROWS))
    makers = {
        "K = 3, exits": lambda: steps.make_mixture(AdaEnsemble, schema.num_rows, exits=True, k=3),
        "full depth": lambda: steps.make_mixture(AdaEnsemble, schema.num_rows, k=3),
        "DenseMoE": lambda: steps.make_mixture(DenseMoE, schema.num_rows),
        "DCN V2": lambda: DCNV2(**model_inputs(schema), dimension=steps.DIMENSION),
    }
    folders = {}
    for name, make in makers.items():
        export_dir = workdir / name.replace(" ", "_").replace(",", "")
        made = sorted(export_dir.glob("[0-9]")) if export_dir.is_dir() else []
        folders[name] = made[0] if made else export(_with_embeddings(make()), schema, workdir, export_dir, columns)
        print(f"{name}: {folders[name]}", flush=True)
    return folders


def _with_embeddings(model: CTRModel) -> CTRModel:
    random = np.random.default_rng(0)
    model.embedding.table.assign(random.normal(size=model.embedding.table.shape).astype(np.float32))
    return model


def _alternate(
    sessions: Mapping[str, ServingSession], signature: str, rows: GoldenRows, size: int, repeats: int
) -> dict[str, list[float]]:
    """Seconds per request by model, in turns after two untimed ones; small batches have more turns."""
    times: dict[str, list[float]] = {name: [] for name in sessions}
    turns = repeats * max(1, min(10, TARGET_BATCH // size))
    for turn in range(turns + 2):
        feed = rows.feed(signature, np.arange(turn, turn + size) % rows.real)
        for name, session in sessions.items():
            start = time.perf_counter()
            session(signature, feed)
            if turn >= 2:
                times[name].append(time.perf_counter() - start)
    return times


def _cold_starts(folder: Path, repeats: int) -> None:
    seconds: dict[str, list[float]] = {"replayed": [], "not replayed": []}
    for _ in range(repeats):
        for kind, found in seconds.items():
            done = subprocess.run([sys.executable, "-c", FIRST_REQUEST, folder, kind], capture_output=True, text=True)
            if done.returncode:
                raise UserError(f"{folder}: the fresh process ended with {done.returncode}: {done.stderr[-500:]}")
            found.append(float(done.stdout))
    replayed, without = (float(np.median(seconds[kind])) for kind in ("replayed", "not replayed"))
    print(f"first request: {1e3 * replayed:.1f} ms with warm-up requests replayed, {1e3 * without:.1f} ms without")
    target = f"first request: at most {TARGET_COLD:g} of that without warm-up"
    print(verdict(target, replayed <= TARGET_COLD * without, f"{replayed / without:.3f}"))


if __name__ == "__main__":
    # Defined here, so that importing this module does not add flags to other commands.
    flags.DEFINE_list("batch_sizes", ["1", "64", "512", "4096"], "Rows of a request; 1 and 512 are needed.")
    flags.DEFINE_integer("repeats", 40, "Timed turns; small batches have up to ten times as many.", lower_bound=1)
    flags.DEFINE_integer("levels", 25_000, "Levels of each of the 26 categorical fields.", lower_bound=1)
    flags.DEFINE_integer("cold_starts", 3, "Fresh processes of each kind.", lower_bound=1)
    flags.DEFINE_string("workdir", "runs/benchmarks/serving", "Where exports are made, kept and used again.")
    run_main(main)
