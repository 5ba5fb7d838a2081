"""Flips single bytes of a prepared directory, a working directory and an export: no fault may be silent.

python tests/random_faults.py [--faults=500] [--seed=0]

Makes the three directories of made-up rows, then changes one byte of one file at a time and asks what reads that
directory. A fault is caught if the reader raises a UserError that names the file, and badly told if the error is of
another kind or does not name the file. It is silent if the answer differs. If the answer is exactly the same, the fault
is harmless in a file that nothing reads (`UNREAD`) and unnoticed in any other. Prints the counts by directory; the exit
code is 1 if a fault was silent, unnoticed or badly told.
"""

import argparse
import collections
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
from made_up_rows import criteo_lines  # noqa: E402

from data_pipelines.errors import UserError  # noqa: E402

UNREAD = ("train.log", ".lock", "checkpoint")
"""Files whose faults may be harmless, for no command reads them: the log, the lock's owner, TensorFlow's own index of a
checkpoint folder."""


def make(folder: Path) -> dict[str, tuple[Path, Callable[[], Any]]]:
    """A directory of each kind below `folder`, by kind, and what reads it: gives all that it holds."""
    from ada_ensemble_tf.serving.publish import export
    from ada_ensemble_tf.trained.workdir import Workdir
    from ada_ensemble_tf.training.run import train
    from data_pipelines.formats import make_format
    from data_pipelines.prepare.build import build
    from data_pipelines.read.dataset import open_data
    from data_pipelines.read.preparation import Options
    from experiments import sample

    raw, data_dir, workdir = folder / "train.txt", folder / "data", Workdir(folder / "run")
    raw.write_text("\n".join(criteo_lines(2000, seed=3)) + "\n")
    build(Options(*make_format("criteo"), min_count=5, block_rows=128), [raw], data_dir, show=lambda line: None)
    data, config = open_data(data_dir), sample.get_config("logistic_regression")
    config.max_epochs, config.batch_size = 1.0, 128
    train(config, data, workdir.path)
    exported = export(workdir.load_model(), data.schema, workdir.path, folder / "export")
    return {
        "prepared data": (data_dir, lambda: read_prepared(data_dir)),
        "working directory": (workdir.path, lambda: read_workdir(workdir.path)),
        "export": (exported, lambda: read_export(exported)),
    }


def read_prepared(path: Path) -> list[Any]:
    """Every row and every level."""
    from data_pipelines.fields.vocabulary import Vocabularies
    from data_pipelines.read.dataset import open_data

    data = open_data(path)
    with data.reading():
        rows = [batch for split in data.rows for batch in data.evaluation(split, 4096).as_numpy_iterator()]
    levels = Vocabularies.load(path, data.schema).levels
    return [data.schema, data.preparation, rows, {name: known.to_list() for name, known in levels.items()}]


def read_workdir(path: Path) -> list[Any]:
    """What evaluate, predict, export, report and a training that goes on start from."""
    from ada_ensemble_tf.evaluation.unknown_ids import FILE as UNKNOWN_IDS
    from ada_ensemble_tf.reporting.learning_curves import read_curves
    from ada_ensemble_tf.trained.checkpoint import check_saves
    from ada_ensemble_tf.trained.run_files import load_data_file
    from ada_ensemble_tf.trained.workdir import Workdir
    from data_pipelines.fields.vocabulary import Vocabularies
    from data_pipelines.json_files import load_json

    workdir = Workdir(path)
    check_saves(path / "checkpoints" / "last")
    weights = [variable.numpy() for variable in workdir.load_model().variables]
    levels = Vocabularies.load(path, workdir.schema()).levels
    curves = [read_curves(path / "tensorboard" / name) for name in ("training", "validation")]
    files = [workdir.config(), workdir.results(), load_data_file(path), workdir.model_name(), workdir.schema()]
    files.append(load_json(path / UNKNOWN_IDS))
    return [weights, {name: known.to_list() for name, known in levels.items()}, curves, files]


def read_export(path: Path) -> list[Any]:
    """The scores that the load test asks for, after its checks."""
    from ada_ensemble_tf.serving.golden_rows import GoldenRows
    from ada_ensemble_tf.serving.session import ServingSession
    from ada_ensemble_tf.serving.warmup import FILE, replay_warmup

    session = ServingSession(path)
    try:
        rows = GoldenRows.load(path)
        requests = replay_warmup(path, session) if (path / FILE).exists() else 0
        return [rows.ctr, session("serving_default", rows.feed("serving_default", range(len(rows.ctr)))), requests]
    finally:
        session.close()


def outcome(file: Path, place: int, flip: int, read: Callable[[], Any], whole: list[Any]) -> tuple[str, str]:
    """(what came of a byte `flip`ped at a place of a file, what was told); the file is put right again."""
    content = file.read_bytes()
    status = file.stat()
    changed = bytearray(content)
    changed[place] ^= flip
    file.write_bytes(changed)
    try:
        found = read()
    except UserError as error:
        named = any(str(one) in str(error) for one in (file, file.with_suffix("")))
        return ("caught" if named and "\n" not in str(error) else "badly told"), str(error)
    except Exception as error:
        return "badly told", f"{type(error).__name__}: {str(error)[:200]}"
    finally:
        file.write_bytes(content)
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    return ("harmless" if same(found, whole) else "silent"), ""


def same(found: Any, whole: Any) -> bool:
    """Whether two answers are equal to the bit."""
    if isinstance(whole, np.ndarray):
        return found.dtype == whole.dtype and found.shape == whole.shape and found.tobytes() == whole.tobytes()
    if isinstance(whole, dict):
        return found.keys() == whole.keys() and all(same(found[key], whole[key]) for key in whole)
    if isinstance(whole, list | tuple):
        return len(found) == len(whole) and all(same(*pair) for pair in zip(found, whole, strict=True))
    return found == whole


def run(faults: int, seed: int, folder: Path) -> list[str]:
    """Makes the faults, prints what came of them, and returns a line for each that is wrong."""
    rng, wrong = np.random.default_rng(seed), []
    counts: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    kinds = make(folder)
    whole = {kind: read() for kind, (_, read) in kinds.items()}
    for number in range(faults):
        kind = list(kinds)[number % len(kinds)]
        path, read = kinds[kind]
        files = sorted(one for one in path.rglob("*") if one.is_file() and one.stat().st_size)
        file = files[rng.integers(len(files))]
        place, flip = int(rng.integers(file.stat().st_size)), int(rng.integers(1, 256))
        what, told = outcome(file, place, flip, read, whole[kind])
        if what == "harmless":
            what = f"harmless in {file.name}" if file.name in UNREAD else "unnoticed"
        counts[kind][what] += 1
        if what in ("silent", "unnoticed", "badly told"):
            wrong.append(f"{what}: {file.relative_to(folder)}, byte {place} ^ {flip}: {told}")
            print(wrong[-1], flush=True)
    for kind, count in counts.items():
        print(f"{kind}: {', '.join(f'{what} {number}' for what, number in sorted(count.items()))}")
    return wrong


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--faults", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        wrong = run(arguments.faults, arguments.seed, Path(folder).resolve())
    print(f"{arguments.faults} faults, {len(wrong)} silent, unnoticed or badly told: {'FAILED' if wrong else 'ok'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
