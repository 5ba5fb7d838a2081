"""The commands that `kill_at_random.py` kills: what each must never leave, and what it must leave in the end."""

import csv
import dataclasses
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from forked_commands import Forked
from made_up_rows import criteo_lines

_TIMES = "seconds", "timed_steps", "OBJECT_GRAPH", "save_counter"
"""Tensors of checkpoints that hold durations, how often the process saved, or names of objects."""
_MEASURED = ["examples_per_second", "command", "examples/s"]


@dataclasses.dataclass
class Case:
    """A command that writes to `{out}`.

    Attributes:
        module: the command.
        arguments: its flags.
        check: raises AssertionError if something in the folder is half-written.
        content: what a finished run has left, by name, as values that can be compared.
        out: name of what it writes, below a folder of its own.
    """

    module: str
    arguments: list[str]
    check: Callable[[Path], None]
    content: Callable[[Path], dict]
    out: str = "out"

    def command(self, folder: Path) -> list[str]:
        """The command line that writes into the folder."""
        return [sys.executable, "-m", self.module, *(text.format(out=folder / self.out) for text in self.arguments)]


def files_below(folder: Path) -> set[Path]:
    """All files and folders below a folder."""
    return set(folder.rglob("*"))


def assert_same(expected: dict, found: dict) -> None:
    """Raises AssertionError, naming what differs between two contents."""
    assert expected.keys() == found.keys(), expected.keys() ^ found.keys()
    for name, value in expected.items():
        same = np.array_equal(value, found[name]) if isinstance(value, np.ndarray) else value == found[name]
        assert same, f"{name} differs"


def _read_json(folder: Path, pattern: str = "*.json") -> Iterator[tuple[str, object]]:
    for path in sorted(folder.glob(pattern)):
        yield path.name, json.loads(path.read_text())


def check_data(out: Path) -> None:
    """A prepared directory is whole or not there."""
    from data_pipelines.read.dataset import open_data

    if out.exists():
        assert open_data(out).find_damage() is None


def data_content(out: Path) -> dict:
    """All bytes."""
    return {str(path.relative_to(out)): path.read_bytes() for path in files_below(out) if path.is_file()}


def check_workdir(out: Path, splits: frozenset[str] = frozenset({"validation", "test"})) -> None:
    """JSON is whole, with metrics of these splits, and so is what the checkpoints' index names."""
    import tensorflow as tf

    list(_read_json(out))
    for folder in ("last", "best"):
        if latest := tf.train.latest_checkpoint(str(out / "checkpoints" / folder)):
            reader = tf.train.load_checkpoint(latest)
            for name in reader.get_variable_to_shape_map():
                reader.get_tensor(name)
    if (out / "metrics.json").exists():
        assert splits <= json.loads((out / "metrics.json").read_text()).keys()


def workdir_content(out: Path) -> dict:
    """Figures, all state, and the names of files but for TensorBoard's, which each start adds to."""
    import tensorflow as tf

    metrics = json.loads((out / "metrics.json").read_text())
    del metrics["examples_per_second"]
    content = {"metrics": metrics, "files": sorted(map(str, _names(out)))}
    for folder in ("last", "best"):
        reader = tf.train.load_checkpoint(str(out / "checkpoints" / folder))
        for name in reader.get_variable_to_shape_map():
            if not any(part in name for part in _TIMES):
                content[f"{folder}/{name}"] = reader.get_tensor(name)
    return content


def _names(out: Path) -> list[Path]:
    return [path.relative_to(out) for path in files_below(out) if path.is_file() and "tensorboard" not in path.parts]


def check_export(out: Path) -> None:
    """Each numbered folder is whole: it holds the files that are written last."""
    for version in out.glob("[0-9]*"):
        if version.name.isdigit():
            assert (version / "MODEL_CARD.md").read_text().endswith("\n")
            json.loads((version / "assets.extra" / "golden_rows.json").read_text())


def export_content(out: Path) -> dict:
    """The names of files and the scored rows of all versions. A version made before a kill has another number."""
    versions = [path for path in out.iterdir() if path.name.isdigit()]
    assert versions and len(versions) == len(list(out.iterdir())), list(out.iterdir())
    found = [
        {
            "files": sorted(map(str, _names(version))),
            "golden rows": (version / "assets.extra" / "golden_rows.json").read_text(),
        }
        for version in versions
    ]
    for one in found:
        assert_same(found[0], one)
    return found[0]


def check_comparison(out: Path) -> None:
    """Tables are whole, a run that says that it is done is, and all JSON can be read."""
    from ada_ensemble_tf.comparison.arrays import load_array

    for folder in out.glob("*/seed_*"):
        check_workdir(folder)
        if (folder / "run.json").exists():
            load_array(folder / "test_probabilities.npy", len(load_array(out / "test_labels.npy")))
    if (out / "table.csv").exists():
        list(csv.DictReader((out / "table.csv").open(newline=""), strict=True))
    if (out / "report.html").exists():
        assert (out / "report.html").read_text().endswith("</html>\n")


def comparison_content(out: Path) -> dict:
    """The table without measured figures, the runs, and the names of files."""
    with (out / "table.csv").open(newline="") as file:
        rows = [{key: row[key] for key in row if key not in _MEASURED} for row in csv.DictReader(file)]
    content = {"table": rows, "files": sorted(map(str, _names(out)))}
    for folder in out.glob("*/seed_*"):
        content |= {f"{folder.parent.name}/{name}": value for name, value in workdir_content(folder).items()}
        content[f"{folder.parent.name}/probabilities"] = np.load(folder / "test_probabilities.npy")
    return content


def check_days(out: Path) -> None:
    """Data, trainings and figures of all days are whole."""
    for folder in out.glob("*/day_*"):
        check_data(folder / "data")
        # A day's rows are tested by the model before them; its own training only validates.
        check_workdir(folder / "run", frozenset({"validation"}))
        list(_read_json(folder))
    if (out / "days.csv").exists():
        list(csv.DictReader((out / "days.csv").open(newline=""), strict=True))


def days_content(out: Path) -> dict:
    """The figures but for seconds, all state of the trainings, the bytes of prepared data, and the names of files."""
    with (out / "days.csv").open(newline="") as file:
        rows = [{key: row[key] for key in row if key != "seconds"} for row in csv.DictReader(file)]
    # Each training that was interrupted has a log of its own length; the checksums of folders cover durations.
    content = {"days": rows, "files": sorted(map(str, _names(out)))}
    for folder in sorted(out.glob("*/day_*")):
        place = f"{folder.parent.name}/{folder.name}"
        content |= {f"{place}/{name}": value for name, value in workdir_content(folder / "run").items()}
        content |= {f"{place}/{name}": value for name, value in data_content(folder / "data").items()}
    for name, value in content.items():
        # It says in which directory the training before was.
        if name.endswith("/metrics") and "start" in value:
            value["start"]["workdir"] = Path(value["start"]["workdir"]).parent.name
    return content


def cases(base: Path, names: Sequence[str]) -> dict[str, Case]:
    """The commands on a small log; makes the inputs of the requested ones first."""
    raw, data, run = base / "train.txt", base / "data", base / "run"
    prepare = ["--dataset=criteo", f"--raw={raw}", "--data_dir={out}", "--min_count=2", "--block_rows=128"]
    train = [
        "--config=experiments/sample.py:logistic_regression", "--config.deterministic=True", "--config.batch_size=128",
        "--config.max_epochs=3.0", "--config.eval_every=4", f"--data_dir={data}", "--workdir={out}",
    ]  # fmt: skip
    compare = [
        "--config=experiments/sample.py", "--models=logistic_regression,factorization_machine", "--seeds=1",
        f"--data_dir={data}", "--out={out}", "--set=deterministic=True", "--set=max_epochs=1.0",
        "--set=batch_size=256", "--jobs=2",
    ]  # fmt: skip
    base.mkdir(parents=True)
    raw.write_text("\n".join(criteo_lines(3000, seed=1)) + "\n")
    made = [("data_pipelines.prepare", prepare, data), ("ada_ensemble_tf.train", train, run)]
    for module, arguments, out in made[: 2 if "export" in names else 1]:
        command = [sys.executable, "-m", module, *(text.format(out=out) for text in arguments)]
        with (base / "log.txt").open("ab") as log:
            assert Forked(command, log).wait() == 0, f"see the end of {base}/log.txt"
    days = [base / f"day_{number}.txt" for number in range(2)]
    for number, day in enumerate(days):
        day.write_text("\n".join(criteo_lines(1000, seed=number)) + "\n")
    progressive = [
        "--config=experiments/sample.py:logistic_regression", "--config.deterministic=True", "--config.batch_size=128",
        "--config.max_epochs=2.0", "--config.eval_every=4", "--min_count=2", "--out={out}", "--retire_after=1",
        "--mode=continue", f"--days={','.join(map(str, days))}", "--split=0.8,0.1,0.1",
    ]  # fmt: skip
    return {
        "progressive": Case("ada_ensemble_tf.progressive", progressive, check_days, days_content),
        "prepare": Case("data_pipelines.prepare", prepare, check_data, data_content),
        "train": Case("ada_ensemble_tf.train", train, check_workdir, workdir_content),
        "export": Case(
            "ada_ensemble_tf.export", [f"--workdir={run}", "--export_dir={out}"], check_export, export_content
        ),
        "compare": Case("ada_ensemble_tf.compare", compare, check_comparison, comparison_content),
    }
