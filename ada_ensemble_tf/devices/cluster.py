"""TF_CONFIG: which machines train together, and which of them this is."""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

from data_pipelines.errors import UserError

EXAMPLE = '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers that train together.

    Attributes:
        addresses: host:port of each; the first is the chief.
        worker: the place of this one among them.
    """

    addresses: tuple[str, ...]
    worker: int


def read_cluster() -> Cluster | None:
    """What the environment variable TF_CONFIG says; None without it, or where it names one worker alone.

    Raises:
        UserError: if it is malformed; the message names what is wrong and shows a right one.
    """
    text = os.environ.get("TF_CONFIG", "").strip()
    if not text:
        return None
    try:
        given = json.loads(text)
    except json.JSONDecodeError as error:
        raise _wrong(f"is no JSON ({error})") from error
    jobs = _jobs(given)
    if not jobs:
        return None
    task = given.get("task")
    if not isinstance(task, Mapping) or task.keys() != {"type", "index"}:
        raise _wrong(f'"task" must have "type" and "index"; received {task!r}')
    kind, index = task["type"], task["index"]
    if kind not in jobs:
        raise _wrong(f"task.type must be one of the cluster's, {', '.join(jobs)}; received {kind!r}")
    # Some launchers write the number as text.
    if not str(index).isdecimal() or int(index) >= len(jobs[kind]):
        raise _wrong(f"task.index must lie in 0 to {len(jobs[kind]) - 1}, for {kind}; received {index!r}")
    addresses = (*jobs.get("chief", ()), *jobs.get("worker", ()))
    worker = int(index) + (len(jobs.get("chief", ())) if kind == "worker" else 0)
    return Cluster(addresses, worker) if len(addresses) > 1 else None


def _jobs(given: Any) -> dict[str, list[str]]:
    """The addresses by the kind of their tasks, checked."""
    jobs = given.get("cluster", {}) if isinstance(given, Mapping) else None
    if not isinstance(jobs, Mapping):
        raise _wrong('must be an object whose "cluster" maps "worker" to a list of host:port')
    for kind, addresses in jobs.items():
        if kind not in ("chief", "worker"):
            raise _wrong(f"cluster may have worker and chief; received {kind!r}, which no training here has")
        if not isinstance(addresses, list) or not addresses:
            raise _wrong(f"cluster.{kind} must be a list of host:port; received {addresses!r}")
        for address in addresses:
            if not isinstance(address, str) or not address.rpartition(":")[0] or not address.split(":")[-1].isdecimal():
                raise _wrong(f"cluster.{kind} must hold texts host:port; received {address!r}")
    if len(jobs.get("chief", ["one"])) > 1:
        raise _wrong(f"cluster.chief must be one; received {jobs['chief']!r}")
    everyone = [address for addresses in jobs.values() for address in addresses]
    if len(set(everyone)) < len(everyone):
        raise _wrong(f"cluster must name each host:port once; received {', '.join(sorted(everyone))}")
    return dict(jobs)


def _wrong(what: str) -> UserError:
    return UserError(f"the environment variable TF_CONFIG {what}. Right would be, say, TF_CONFIG='{EXAMPLE}'")
