"""A table three times as large as the memory that a process may take, trained with --config.sharding.tables=columns.

    .venv/bin/python -m experiments.benchmarks.large_table [--workers=8] [--table_mib=1536]

The memory allowed is a real limit on each process, of its writable private memory (RLIMIT_DATA, `ulimit -d`): what
TensorFlow and a training with a small table take by themselves, measured first, plus a third of the table. The model is
a small DNN with one hashed field of as many buckets as the table has rows. The optimiser's slot is as large as the
table, so the workers hold twice the table together. The steps:

* own: a training with a small table, without a limit, of which one worker is killed and started again, because a
    training that is resumed takes more.
* one process: holds the whole table, which the limit does not allow.
* trained: the workers train under the limit, in deterministic mode, and save twice.
* killed: the same, but one of the workers is killed with SIGKILL after the first save and started again. The last
    checkpoint is compared with that of the step before: tables byte by byte, the rest but for the clock's counters.
* evaluate, export: by one process without a limit. It holds the whole table.

It prints each process's peak of limited memory (VmData) and of its resident set, sampled.
"""

import contextlib
import filecmp
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from ml_collections import ConfigDict

from ada_ensemble_tf.configs.defaults import optimizer_options
from data_pipelines.errors import UserError, run_main
from experiments import sample
from experiments.measuring import made_once, verdict
from experiments.measuring.made_up_table import prepare_table
from experiments.measuring.processes import measured
from experiments.measuring.worker_processes import end, finish, free_ports, log_of, start, start_one

MIB, ROWS, DIMENSION, STEPS = 1 << 20, 4_000, 8, 8
SMALL = 1_000
"""Buckets of the table that TensorFlow's own memory is measured with."""
OPTIONS: dict[str, Any] = {
    "deterministic": True,
    "sharding.tables": "columns",
    "batch_size": 256,
    "eval_batch_size": 512,
    "max_steps": STEPS,
    "eval_every": STEPS // 2,
    "report_every": STEPS // 2,
    "model.dimension": DIMENSION,
    "model.hidden_units": (16,),
    "worker_timeout": 900.0,
}


ENVIRONMENT = {"TF_ONEDNN_USE_SYSTEM_ALLOCATOR": "1"}
"""TensorFlow's own allocator on CPUs keeps what was freed, and takes twice what is asked for as it grows."""


class Peaks:
    """The peaks of processes' memory in MiB while the block runs: limited memory and resident set of each."""

    def __init__(self, processes: list[subprocess.Popen]):
        self._processes, self._stop = processes, threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self.of_each: dict[int, tuple[float, float]] = {}

    def __enter__(self) -> "Peaks":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(0.02):
            for process in list(self._processes):
                with contextlib.suppress(OSError, KeyError):
                    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
                    status = dict(line.split(":", 1) for line in lines)
                    found = [int(status[name].split()[0]) / 1024 for name in ("VmData", "VmRSS")]
                    before = self.of_each.get(process.pid, (0.0, 0.0))
                    self.of_each[process.pid] = (max(before[0], found[0]), max(before[1], found[1]))

    @property
    def limited(self) -> float:
        """The largest of any process."""
        return max(data for data, _ in self.of_each.values())

    def __str__(self) -> str:
        limited, resident = (max(kind) for kind in zip(*self.of_each.values(), strict=True))
        return f"up to {limited:,.0f} MiB of limited memory, {resident:,.0f} MiB resident"


def get_config(model: str) -> ConfigDict:
    """A config whose tables are trained by Adagrad, which keeps as much state as a table has numbers."""
    config = sample.get_config(model)
    config.embedding_optimizer = ConfigDict(optimizer_options() | {"name": "sparse_adagrad"})
    return config


def main(argv: Sequence[str]) -> None:
    """Runs the steps and prints figures and verdicts."""
    del argv
    values, workdir = flags.FLAGS, Path(flags.FLAGS.workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    rows = values.table_mib * MIB // (4 * DIMENSION)
    small, large = (_prepared(workdir, buckets) for buckets in (SMALL, rows))
    own = values.own_mib or _trained(small, workdir / "own", None, killed=1).limited
    allowed = values.table_mib / 3
    limit = int((own + allowed) * MIB)
    print(
        f"table {values.table_mib} MiB, as much again for the optimiser's slot; limit of a process {limit // MIB} MiB: "
        f"{own:.0f} of TensorFlow's own and {allowed:.0f}; {values.workers} workers",
        flush=True,
    )
    print(_one_process(large, workdir / "one", limit), flush=True)
    _trained(large, workdir / "trained", limit)
    _trained(large, workdir / "killed", limit, killed=1)
    print(_same_files(workdir / "trained", workdir / "killed"), flush=True)
    for line in _read_by_one(workdir / "trained"):
        print(line, flush=True)


def _prepared(workdir: Path, buckets: int) -> Path:
    """Rows with one hashed field of so many buckets and two small fields."""
    final = workdir / f"{buckets}_buckets"
    if final.is_dir():
        return final / "data"
    random = np.random.default_rng(0)
    with made_once(final) as folder:
        ids, place, hour = (random.integers(0, n, ROWS) for n in (ROWS // 2, 20, 24))
        clicks = random.random(ROWS) < 1.0 / (1.0 + np.exp(3.0 - ids % 7))
        lines = [f"{y:d},id{a},p{b},h{c}" for y, a, b, c in zip(clicks, ids, place, hour, strict=True)]
        fields = [{"name": "id", "kind": "hashed", "buckets": buckets}]
        fields += [{"name": name, "kind": "categorical"} for name in ("place", "hour")]
        prepare_table(folder, "y,id,place,hour", lines, fields)
    return final / "data"


def _arguments(data: Path, **options: Any) -> list[str]:
    values = OPTIONS | options
    return [
        f"--config={__file__}:dnn",
        f"--data_dir={data}",
        *(f"--config.{key}={value}" for key, value in values.items()),
    ]


@contextlib.contextmanager
def _limited(limit: int | None) -> Iterator[None]:
    """Within the block, processes that are started may have so many bytes of writable private memory."""
    if limit is None:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _one_process(data: Path, workdir: Path, limit: int) -> str:
    shutil.rmtree(workdir, ignore_errors=True)
    with _limited(limit):
        processes = start(_arguments(data, **{"sharding.tables": "replicated"}), workdir, 1, environment=ENVIRONMENT)
    with Peaks(processes) as peaks:
        code = processes[0].wait()
    said = [line for line in log_of(workdir, 0).read_text().splitlines() if "memory" in line.lower() or "OOM" in line]
    found = f"exit code {code}, {peaks}: {said[-1][:150] if said else 'no message'}"
    return verdict("one process with the whole table fails under the limit", code != 0, found)


def _trained(data: Path, workdir: Path, limit: int | None, killed: int | None = None) -> Peaks:
    """Trains under the limit; with `killed`, one worker is killed after the first save and started again."""
    shutil.rmtree(workdir, ignore_errors=True)
    workers, arguments = flags.FLAGS.workers, _arguments(data)
    addresses = [f"127.0.0.1:{port}" for port in free_ports(workers)]
    began = time.monotonic()
    with _limited(limit):
        processes = start(arguments, workdir, workers, addresses, ENVIRONMENT)
    try:
        with Peaks(processes) as peaks:
            if killed is not None:
                _wait_for_a_save(workdir, processes)
                os.kill(processes[killed].pid, signal.SIGKILL)
                processes[killed].wait()
                with _limited(limit):
                    processes[killed] = start_one(arguments, workdir, addresses, killed, ENVIRONMENT)
            finish(processes, workdir)
    finally:
        end(processes)
    print(f"{workdir.name}: {time.monotonic() - began:.0f} s, {peaks}", flush=True)
    return peaks


def _wait_for_a_save(workdir: Path, processes: Sequence[subprocess.Popen]) -> None:
    while not (workdir / "checkpoints" / "last" / "checkpoint").exists():
        if any(process.poll() is not None for process in processes):
            raise UserError(f"{workdir}: a worker ended before the first checkpoint, see its log beside it")
        time.sleep(0.05)
    if (workdir / "metrics.json").exists():
        raise UserError(f"{workdir}: the training ended before a worker could be killed")


def _same_files(one: Path, other: Path) -> str:
    """Compares last checkpoints: files of tables byte by byte, in the others all variables but those of the clock."""
    folders = [workdir / "checkpoints" / "last" for workdir in (one, other)]
    names = [sorted(path.name for path in folder.glob("ckpt-*")) for folder in folders]
    same, size = names[0] == names[1], sum(path.stat().st_size for path in folders[0].glob("ckpt-*")) / MIB
    mine, theirs = folders
    differing = [name for name in names[0] if same and not filecmp.cmp(mine / name, theirs / name, shallow=False)]
    # The chief's file of everything that is not shared, and the index with its checksum.
    same &= all("data-00000-of" in name or name.endswith(".index") for name in differing)
    if same and differing:
        same = _differ_in_the_clock_alone(folders)
    found = f"{len(names[0])} files, {size:,.0f} MiB, of which {len(differing)} are not equal byte for byte"
    return verdict("the checkpoint after SIGKILL is that of an undisturbed training, bit for bit", same, found)


def _differ_in_the_clock_alone(folders: Sequence[Path]) -> bool:
    from ada_ensemble_tf.trained.checkpoint import SavedValues

    one, other = (SavedValues(folder) for folder in folders)
    known = [name for name in one.names if not name.endswith((".table", "_accumulator", "seconds:0", "timed_steps:0"))]
    return one.names == other.names and all(np.array_equal(one.value(n), other.value(n)) for n in known)


def _read_by_one(workdir: Path) -> Iterator[str]:
    """Evaluates and exports by one process."""
    trained = json.loads((workdir / "metrics.json").read_text())["test"]
    for name in ("evaluate", "export"):
        log = workdir.with_name(f"{name}.log")
        run = measured([sys.executable, "-m", f"ada_ensemble_tf.{name}", f"--workdir={workdir}"], log)
        yield f"{name} by one process: {run.seconds:.0f} s, up to {run.peak_bytes / MIB:,.0f} MiB resident"
        if name == "evaluate":
            text = log.read_text()
            found = json.loads(text[text.index("{") :])["test"]
            worst = max(abs(found[metric] - value) for metric, value in trained.items())
            yield verdict("metrics of one process as in training within 1e-6", worst <= 1e-6, f"{worst:.1e}")


if __name__ == "__main__":
    # Defined here, so that importing this module does not add flags to other commands.
    flags.DEFINE_integer("workers", 8, "Processes that share the table.", lower_bound=2)
    flags.DEFINE_integer("table_mib", 1536, "MiB of the table.", lower_bound=48)
    flags.DEFINE_integer("own_mib", 0, "What a process takes with a small table; measured by default.", lower_bound=0)
    flags.DEFINE_string("workdir", "runs/benchmarks/large_table", "Where rows and runs are put.")
    run_main(main)
