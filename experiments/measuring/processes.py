"""Seconds and memory of a whole process."""

import contextlib
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

from data_pipelines.errors import UserError

SAMPLE_SECONDS = 0.05


class Run(NamedTuple):
    """A process's wall seconds, and the peak of its process tree's summed RSS."""

    seconds: float
    peak_bytes: int


def measured(command: Sequence[str], log: Path) -> Run:
    """Runs a command with its output in `log`, and samples the memory of its process tree.

    Raises:
        UserError: if it ends with a code other than 0.
    """
    peak = 0
    with log.open("w") as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        tree = psutil.Process(process.pid)
        while process.returncode is None:
            peak = max(peak, tree_bytes(tree))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(SAMPLE_SECONDS)
        seconds = time.perf_counter() - start
    if process.returncode:
        last = (log.read_text().splitlines() or ["no output"])[-1]
        raise UserError(f"{' '.join(command)} ended with code {process.returncode}, see {log}: {last}")
    return Run(seconds, peak)


def tree_bytes(root: psutil.Process) -> int:
    """RSS of a process and all its descendants, summed."""
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
    return total
