"""Kills prepare, train, export and compare (SIGKILL) at random moments, and runs them again to the end:

python tests/kill_at_random.py --folder=/tmp/kills [--kills=30] [--only=prepare,train,export,compare] [--seed=0]

After each kill, every file under its final name must be complete. After up to five kills in a row the same command runs
to the end, and must leave the same as an undisturbed run: the same files, with the same bytes except where a run's time
is in them. Half of the moments are drawn over the whole run, half from the first file on. It exits with 1 at the first
fault and leaves that fault's files in --folder.

Commands are forked from this process, which has loaded TensorFlow but computed nothing with it; otherwise most kills
would come during loading.
"""

import argparse
import csv
import dataclasses
import json
import os
import random
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from command_line import ROOT
from forked_commands import Forked, load
from made_up_rows import criteo_lines

KILLS_IN_A_ROW = 5
_TIMES = "seconds", "timed_steps", "OBJECT_GRAPH", "save_counter"
"""The parts of checkpoints that depend on a run's duration or number of saves, or name objects."""
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


class Killer:
    """Runs a case with kills until there have been enough."""

    def __init__(self, case: Case, folder: Path, seed: int):
        self.case, self.folder = case, folder
        self.random = random.Random(seed)
        self.log = folder / "log.txt"

    def run(self, kills: int) -> str:
        """Kills the command that many times; reports the outcome."""
        started = time.monotonic()
        self._finish(self.folder / "whole")
        seconds = time.monotonic() - started
        expected = self.case.content(self.folder / "whole" / self.case.out)
        killed = with_files = finished = chains = 0
        while killed < kills:
            chain = self.folder / f"chain_{chains}"
            chain.mkdir()
            for _ in range(min(self.random.randint(1, KILLS_IN_A_ROW), kills - killed)):
                begun = time.monotonic()
                if not self._kill(chain, seconds, killed % 2 == 1):
                    finished += 1
                    # The machine has more time for it than at first, or less was left to do.
                    seconds = min(seconds, max(time.monotonic() - begun, 1.0))
                    break
                killed += 1
                with_files += any(chain.iterdir())
                _check(self.case, chain)
            self._finish(chain)
            _check(self.case, chain)
            _assert_same(expected, self.case.content(chain / self.case.out))
            left = sorted(path.name for path in chain.iterdir())
            assert left == [self.case.out], left
            shutil.rmtree(chain)
            chains += 1
            print(f"{killed} kills, {with_files} of them with files there; {chains} runs to the end", flush=True)
        return (
            f"{killed} kills in {chains} chains, {with_files} of them with files there, {finished} runs ended before; "
            f"a whole run takes {seconds:.1f} s"
        )

    def _start(self, chain: Path) -> Forked:
        with self.log.open("ab") as log:
            return Forked(self.case.command(chain), log)

    def _finish(self, chain: Path) -> None:
        chain.mkdir(exist_ok=True)
        code = self._start(chain).wait()
        assert code == 0, f"exit code {code}; see the end of {self.log}"

    def _kill(self, chain: Path, seconds: float, from_first_file: bool) -> bool:
        """Whether the run was killed, and not at its end before."""
        before = _files(chain)
        process, started = self._start(chain), time.monotonic()
        while from_first_file and process.poll() is None and _files(chain) == before:
            time.sleep(0.01)
        time.sleep(self.random.uniform(0.0, max(seconds - (time.monotonic() - started), 0.5)))
        process.kill()
        return process.wait() < 0


def _check(case: Case, folder: Path) -> None:
    # In a process of its own: this one must have no threads, or what is forked from it could hang.
    pid = os.fork()
    if not pid:
        try:
            case.check(folder / case.out)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0, f"half-written in {folder}"


def _files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def _assert_same(expected: dict, found: dict) -> None:
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
    return {str(path.relative_to(out)): path.read_bytes() for path in _files(out) if path.is_file()}


def check_workdir(out: Path) -> None:
    """JSON is whole, and so is what the checkpoints' index names."""
    import tensorflow as tf

    list(_read_json(out))
    for folder in ("last", "best"):
        if latest := tf.train.latest_checkpoint(str(out / "checkpoints" / folder)):
            reader = tf.train.load_checkpoint(latest)
            for name in reader.get_variable_to_shape_map():
                reader.get_tensor(name)
    if (out / "metrics.json").exists():
        assert {"validation", "test"} <= json.loads((out / "metrics.json").read_text()).keys()


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
    return [path.relative_to(out) for path in _files(out) if path.is_file() and "tensorboard" not in path.parts]


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
        _assert_same(found[0], one)
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
    return {
        "prepare": Case("data_pipelines.prepare", prepare, check_data, data_content),
        "train": Case("ada_ensemble_tf.train", train, check_workdir, workdir_content),
        "export": Case(
            "ada_ensemble_tf.export", [f"--workdir={run}", "--export_dir={out}"], check_export, export_content
        ),
        "compare": Case("ada_ensemble_tf.compare", compare, check_comparison, comparison_content),
    }


def main() -> int:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="to work in; must not exist yet")
    parser.add_argument("--kills", type=int, default=30, help="of each command")
    parser.add_argument("--only", default="prepare,train,export,compare", help="commands, with commas between")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True)
    os.chdir(ROOT)
    load()
    names = arguments.only.split(",")
    made = cases(arguments.folder.absolute() / "base", names)
    for name in names:
        folder = arguments.folder.absolute() / name
        folder.mkdir()
        try:
            print(f"{name}: {Killer(made[name], folder, arguments.seed).run(arguments.kills)}", flush=True)
        except AssertionError as error:
            print(f"{name}: FAULT: {error}; see {folder}", flush=True)
            return 1
    shutil.rmtree(arguments.folder)
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
