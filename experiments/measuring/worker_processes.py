"""The workers of a training as processes on this machine: starts them, kills them and reads their figures."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_pipelines.errors import UserError


def start(
    arguments: Sequence[str],
    workdir: Path,
    workers: int,
    addresses: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> list:
    """Starts the workers of a training, which print to `workdir`.worker_<i>.log.

    Args:
        arguments: the command's arguments except --workdir.
        workdir: the training's working directory.
        workers: the number of workers; a single one has no TF_CONFIG.
        addresses: the addresses they listen at; free ports of this machine by default.
        environment: variables that add to this process's or replace them.
    """
    addresses = addresses or [f"127.0.0.1:{port}" for port in free_ports(workers)]
    for i in range(workers):
        log_of(workdir, i).unlink(missing_ok=True)
    return [start_one(arguments, workdir, addresses, i, environment) for i in range(workers)]


def start_one(
    arguments: Sequence[str],
    workdir: Path,
    addresses: Sequence[str],
    worker: int,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen:
    """Starts one of the workers that listen at `addresses`."""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""} | dict(environment or {})
    environment.pop("TF_CONFIG", None)
    if len(addresses) > 1:
        task = {"type": "worker", "index": worker}
        environment["TF_CONFIG"] = json.dumps({"cluster": {"worker": list(addresses)}, "task": task})
    command = [sys.executable, "-m", "ada_ensemble_tf.train", *arguments, f"--workdir={workdir}"]
    with open(log_of(workdir, worker), "a") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)


def log_of(workdir: Path, worker: int) -> Path:
    """The file with a worker's output."""
    return workdir.with_name(f"{workdir.name}.worker_{worker}.log")


def free_ports(count: int) -> list[int]:
    """Ports that are not in use."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def train_with_a_loss(arguments: Sequence[str], workdir: Path, killed: int) -> float:
    """Trains on two workers; kills one after the first checkpoint and restarts it. Returns the seconds in all."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    began, processes = time.monotonic(), start(arguments, workdir, 2, addresses)
    try:
        while not (workdir / "checkpoints" / "last" / "checkpoint").exists():
            if any(process.poll() is not None for process in processes):
                raise UserError(f"{workdir}: a worker ended before the first checkpoint, see its log beside it")
            time.sleep(0.05)
        os.kill(processes[killed].pid, signal.SIGKILL)
        processes[killed].wait()
        if (workdir / "metrics.json").exists():
            raise UserError(f"{workdir}: the training ended before a worker could be killed: use more --steps")
        processes[killed] = start_one(arguments, workdir, addresses, killed)
        finish(processes, workdir)
        return time.monotonic() - began
    finally:
        end(processes)


def finish(processes: Sequence[subprocess.Popen], workdir: Path) -> float:
    """Waits for a training's workers; returns the seconds it took. Raises UserError if one fails."""
    began = time.monotonic()
    try:
        # If one fails, the others wait for it.
        while any(process.poll() is None for process in processes) and not any(process.poll() for process in processes):
            time.sleep(0.05)
    finally:
        end(processes)
    if any(process.returncode for process in processes):
        raise UserError(f"{workdir}: a worker failed, see its log beside it")
    return time.monotonic() - began


def end(processes: Sequence[subprocess.Popen]) -> None:
    """Kills the processes that still run."""
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.wait()


def reported(workdir: Path) -> dict[tuple[str, int], float]:
    """TensorBoard's training and validation figures by tag and step, without those measured by a clock."""
    import tensorflow as tf

    figures = {}
    for file in sorted((workdir / "tensorboard").glob("*/*tfevents*")):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                if value.tag.startswith(("loss/", "gate_update/", "metrics/")):
                    figures[value.tag, event.step] = float(tf.make_ndarray(value.tensor))
    return figures


def worst_difference(*workdirs: Path) -> float:
    """The largest difference between the validation and test metrics of two trainings, relative for those above 1."""
    one, other = (json.loads((workdir / "metrics.json").read_text()) for workdir in workdirs)
    pairs = [(one[split], other[split]) for split in ("validation", "test")]
    return max(abs(a[name] - b[name]) / max(1.0, abs(a[name])) for a, b in pairs for name in a)
