"""TF_CONFIG: the machines that train together, and which one this is."""

import dataclasses
import json
import os
import socket
import time
from collections.abc import Mapping
from typing import Any

from data_pipelines.errors import UserError

EXAMPLE = '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
_POLL_SECONDS = 0.2
_CONNECT_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers that train together.

    Attributes:
        addresses: host:port of each; the first is the chief.
        worker: this worker's position in `addresses`.
    """

    addresses: tuple[str, ...]
    worker: int

    def name(self, worker: int | None = None) -> str:
        """A worker's name in messages, "worker 1 of 2 (host1:2222)"; by default this worker's."""
        worker = self.worker if worker is None else worker
        return f"worker {worker} of {len(self.addresses)} ({self.addresses[worker]})"

    def wait_for_all(self, seconds: float) -> None:
        """Returns once every worker listens at its address.

        When TensorFlow itself waits, it does not say for whom, and neither SIGTERM nor Ctrl-C ends it.

        Raises:
            UserError: if this worker's port is taken, or others do not appear in time; the message names them.
        """
        deadline, missing = time.monotonic() + seconds, [i for i in range(len(self.addresses)) if i != self.worker]
        with self._listening():
            while missing := [worker for worker in missing if not _listens(self.addresses[worker])]:
                if time.monotonic() > deadline:
                    raise UserError(
                        f"{self.name()} waited {seconds:g} s for {', '.join(map(self.name, missing))}: start the same "
                        "command there, and see that its address is right and can be reached from here; if it only "
                        "starts later, raise config.worker_timeout"
                    )
                time.sleep(_POLL_SECONDS)

    def _listening(self) -> socket.socket:
        address = self.addresses[self.worker]
        port = int(address.rpartition(":")[2])
        try:
            if socket.has_dualstack_ipv6():
                return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
            return socket.create_server(("", port))
        except OSError as error:
            raise UserError(
                f"cannot listen at {address}, which TF_CONFIG gives worker {self.worker}: is the port in use by "
                f"another process? ({error.strerror})"
            ) from error


def read_cluster() -> Cluster | None:
    """Reads the environment variable TF_CONFIG; None if it is not set or names a single worker.

    Raises:
        UserError: if it is malformed; the message says what is wrong and shows a correct example.
    """
    text = os.environ.get("TF_CONFIG", "").strip()
    if not text:
        return None
    try:
        given = json.loads(text)
    except json.JSONDecodeError as error:
        raise _wrong(f"is not JSON ({error})") from error
    jobs = _jobs(given)
    if not jobs:
        return None
    task = given.get("task")
    if not isinstance(task, Mapping) or task.keys() != {"type", "index"}:
        raise _wrong(f'"task" must have "type" and "index"; received {task!r}')
    kind, index = task["type"], task["index"]
    if kind not in jobs:
        raise _wrong(f"task.type must be one of {', '.join(jobs)}, the cluster's types; received {kind!r}")
    # Some launchers write the index as text.
    if not str(index).isdecimal() or int(index) >= len(jobs[kind]):
        raise _wrong(f"task.index must lie in 0 to {len(jobs[kind]) - 1}, for {kind}; received {index!r}")
    addresses = (*jobs.get("chief", ()), *jobs.get("worker", ()))
    worker = int(index) + (len(jobs.get("chief", ())) if kind == "worker" else 0)
    return Cluster(addresses, worker) if len(addresses) > 1 else None


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def _jobs(given: Any) -> dict[str, list[str]]:
    """The checked addresses by task type."""
    jobs = given.get("cluster", {}) if isinstance(given, Mapping) else None
    if not isinstance(jobs, Mapping):
        raise _wrong('must be an object whose "cluster" maps "worker" to a list of host:port')
    for kind, addresses in jobs.items():
        if kind not in ("chief", "worker"):
            raise _wrong(f"cluster may have worker and chief; received {kind!r}, which is not supported")
        if not isinstance(addresses, list) or not addresses:
            raise _wrong(f"cluster.{kind} must be a list of host:port; received {addresses!r}")
        for address in addresses:
            if not isinstance(address, str) or not address.rpartition(":")[0] or not address.split(":")[-1].isdecimal():
                raise _wrong(f"cluster.{kind} must hold strings host:port; received {address!r}")
    if len(jobs.get("chief", ["one"])) > 1:
        raise _wrong(f"cluster.chief must be a single address; received {jobs['chief']!r}")
    everyone = [address for addresses in jobs.values() for address in addresses]
    if len(set(everyone)) < len(everyone):
        raise _wrong(f"cluster must name each host:port once; received {', '.join(sorted(everyone))}")
    return dict(jobs)


def _wrong(what: str) -> UserError:
    return UserError(f"the environment variable TF_CONFIG {what}. A correct example: TF_CONFIG='{EXAMPLE}'")
