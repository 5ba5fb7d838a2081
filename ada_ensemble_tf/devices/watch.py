"""Ends a process that waits too long for other workers.

TensorFlow's collectives have their own timeout (`CommunicationOptions.timeout_seconds`). It works on CPUs, but each
collective then holds a thread for the length of the timeout: 500 exchanges of one number left 1,100 threads. One thread
that watches for progress costs nothing.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable

from ada_ensemble_tf.devices.cluster import Cluster

logger = logging.getLogger(__name__)


class Watch:
    """Ends the process with exit code 1 and a line on stderr if there is no progress for too long.

    Args:
        cluster: the workers.
        seconds: the longest time without progress.
        leave: a function that ends the process with an exit code.

    Attributes:
        waits_in: gives the name of a collective that this worker is in, if its tables are on several devices.
    """

    def __init__(self, cluster: Cluster, seconds: float, leave: Callable[[int], None] = os._exit):
        self._cluster, self._seconds, self._leave = cluster, seconds, leave
        self._what, self._moves, self._step = "at the start", 0, lambda: 0
        self.waits_in: Callable[[], str | None] = lambda: None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def doing(self, what: str) -> None:
        """Records what this worker does now, e.g. "in training"; counts as progress."""
        self._what = what
        self._moves += 1

    def follow(self, step: Callable[[], int]) -> None:
        """Counts every change of the training step, which changes within a graph, as progress."""
        self._step = step

    def close(self) -> None:
        """Stops watching."""
        self._closed.set()
        self._thread.join()

    def _look(self) -> None:
        seen, since = None, time.monotonic()
        while not self._closed.wait(min(1.0, self._seconds / 10.0)):
            now = (self._moves, self._step())
            if now != seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > self._seconds:
                print(f"error: {self._complaint(now[1])}", file=sys.stderr, flush=True)
                self._leave(1)
                return

    def _complaint(self, step: int) -> str:
        collective = self.waits_in()
        others = [self._cluster.name(i) for i in range(len(self._cluster.addresses)) if i != self._cluster.worker]
        return (
            f"{self._cluster.name()} made no progress for {self._seconds:g} s {self._what}, at step {step}"
            f"{f' in {collective}' if collective else ''}: it or "
            f"{' or '.join(others)} hangs; see what each printed last, then start all workers again: they go on "
            "from the last checkpoint; if one is only slow, raise config.worker_timeout"
        )
