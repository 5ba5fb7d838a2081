"""Trainings in processes of their own, several at once, and the files that they leave.

A run's folder is a training's working directory (`ada_ensemble_tf.trained.workdir`) with, besides,

train.log                what the process printed
tensorboard/hparams/     its row of TensorBoard's HParams table
test_probabilities.npy   float32, of the test rows in the order of the prepared data
run.json                 how many runs there were at once; written last, it says that the run is done
"""

import contextlib
import dataclasses
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from ada_ensemble_tf.trained.run_files import difference, is_trained, load_config, load_data_file, load_results
from data_pipelines.errors import Stopped, UserError
from data_pipelines.json_files import load_json

WORKER = "ada_ensemble_tf.comparison.worker"
PROBABILITIES = "test_probabilities.npy"
HPARAMS_FOLDER = "tensorboard/hparams"
"""A run of its own: TensorBoard's HParams table makes columns of all scalars that it finds below a training's row."""
END = b"e"
"""Written to a training's standard input, it asks the training to end."""
GRACE_SECONDS = 60.0
"""How long trainings that were asked to end may take. Then they are killed, and lose what came after a checkpoint."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_POLL_SECONDS = 0.1


@dataclasses.dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        label: what is trained.
        config: its config.
        folder: where it goes.
        data_dir: the prepared data.
        labels_file: where the labels of the test rows go, once for all runs; None leaves the test split unread.
        hparams: the values by which it differs from the others, by name, for TensorBoard.
        command: the command line that started it.
        continue_from: the working directory of a training that it goes on with; None for new weights.
    """

    label: str
    config: dict[str, Any]
    folder: Path
    data_dir: Path
    labels_file: Path | None = None
    hparams: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    command: str = ""
    continue_from: Path | None = None

    @property
    def seed(self) -> int:
        """The seed in its config."""
        return self.config["seed"]

    def done(self) -> bool:
        """Whether everything that it leaves is there."""
        return (self.folder / "run.json").exists()

    def metrics(self) -> dict[str, Any]:
        """What its metrics.json holds."""
        return load_results(self.folder, way_out=f"delete {self.folder} to train it again")

    def jobs(self) -> int:
        """How many runs there were at once when it was trained."""
        return load_json(self.folder / "run.json", _RunFile, f"delete {self.folder} to train it again").jobs

    def check_same(self, fingerprint: str) -> None:
        """Raises UserError, naming the key, if the folder holds a run of another config or of other data."""
        if not self.done() and not is_trained(self.folder):
            return
        config, known = load_config(self.folder), load_data_file(self.folder).fingerprint
        other = difference(config, known, self.config, fingerprint)
        if other is not None:
            raise UserError(f"{self.folder}: {other}; choose another --out, or delete the folder")


@dataclasses.dataclass(frozen=True)
class _RunFile:
    jobs: int


class Workers:
    """Processes that train, at most `jobs` at once; leaving the block ends those that still run.

    They end with a checkpoint, within `GRACE_SECONDS`. SIGTERM and SIGINT leave the block by `Stopped`.

    With several at once, each gets its share of the cores, and as much GPU memory as it needs. A single one keeps
    TensorFlow's own settings.
    """

    def __init__(self, jobs: int):
        if jobs < 1:
            raise UserError(f"--jobs must be at least 1; received {jobs}")
        self.jobs = jobs
        self._running: list[tuple[Run, subprocess.Popen, int]] = []
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> "Workers":
        # Only the main thread may handle signals.
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._asked_to_end) for number in _SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        # Running trainings end with a checkpoint, unless that takes too long for whoever waits for this process.
        for _, process, _ in self._running:
            with contextlib.suppress(BrokenPipeError):
                _input_of(process).write(END)
                _input_of(process).flush()
        deadline = time.monotonic() + GRACE_SECONDS
        for _, process, _ in self._running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            process.kill()
            process.wait()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _asked_to_end(self, number: int, frame: Any) -> None:
        # A second signal ends this process at once. Its trainings then notice that it is gone, and end too.
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        raise Stopped(
            f"asked to end by {signal.Signals(number).name}; the same command goes on, trainings that were under way "
            "from their last checkpoints"
        )

    @property
    def busy(self) -> int:
        """How many are at work."""
        return len(self._running)

    @property
    def full(self) -> bool:
        """Whether another run would have to wait."""
        return self.busy >= self.jobs

    def start(self, run: Run) -> None:
        """Starts a run that is not done."""
        run.folder.mkdir(parents=True, exist_ok=True)
        # Each run stands alone, on this machine.
        environment = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
        if self.jobs > 1:
            threads = str(max(1, (os.cpu_count() or 1) // self.jobs))
            names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
            environment |= dict.fromkeys(names, threads) | {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}
        with open(run.folder / "train.log", "ab") as log:
            # An earlier attempt's output does not explain why this one fails.
            log_start = log.tell()
            process = subprocess.Popen(
                [sys.executable, "-m", WORKER], stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment
            )
        self._running.append((run, process, log_start))
        with contextlib.suppress(BrokenPipeError):
            # Left open: its end tells the process that this one is gone.
            pickle.dump((run, self.jobs), _input_of(process))
            _input_of(process).flush()

    def wait(self) -> tuple[Run, str | None]:
        """(a run that has ended, the reason for its failure or None); waits until a run ends."""
        while True:
            for i, (run, process, log_start) in enumerate(self._running):
                if process.poll() is not None:
                    del self._running[i]
                    with contextlib.suppress(BrokenPipeError):
                        _input_of(process).close()
                    return run, _failure(run.folder / "train.log", log_start, process.returncode)
            time.sleep(_POLL_SECONDS)


def _input_of(process: subprocess.Popen) -> IO[bytes]:
    assert process.stdin is not None, "each is started with a pipe"
    return process.stdin


def _failure(log: Path, start: int, code: int) -> str | None:
    if code == 0:
        return None
    if code < 0:
        reason = f"killed by {signal.Signals(-code).name}"
        return reason + (" (out of memory?)" if code == -signal.SIGKILL else "")
    lines = [line for line in log.read_bytes()[start:].decode(errors="replace").splitlines() if line.strip()]
    told = ("error: ", "stopped: ")
    errors = [line.removeprefix("error: ") for line in lines if line.startswith(told)]
    return (errors or lines or [f"exit code {code}"])[-1]
