"""Ending a process that waits for other workers for too long.

TensorFlow's collectives have a timeout of their own (`CommunicationOptions.timeout_seconds`), and it works on CPUs, but
each collective then holds a thread for as long as the timeout is: 500 exchanges of one number left 1,100 threads. One
thread that looks whether anything moves costs nothing.
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
    """Ends the process with exit code 1 and a line on stderr where nothing moves for too long.

    Args:
        cluster: the workers.
        seconds: how long nothing may move.
        leave: ends the process.
    """

    def __init__(self, cluster: Cluster, seconds: float, leave: Callable[[int], None] = os._exit):
        self._cluster, self._seconds, self._leave = cluster, seconds, leave
        self._what, self._moves, self._step = "at the start", 0, lambda: 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def doing(self, what: str) -> None:
        """Says what this worker does now, e.g. "in training": something has moved."""
        self._what = what
        self._moves += 1

    def follow(self, step: Callable[[], int]) -> None:
        """Counts it as a move where the training step, which changes within a graph, has another value."""
        self._step = step

    def close(self) -> None:
        """Looks no longer."""
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
        others = [self._cluster.name(i) for i in range(len(self._cluster.addresses)) if i != self._cluster.worker]
        return (
            f"{self._cluster.name()} did not get on for {self._seconds:g} s {self._what}, at step {step}: it, or "
            f"{' or '.join(others)}, hangs; see what each printed last, then start all workers again: they go on "
            "from the last checkpoint; if one is only slow, raise config.worker_timeout"
        )
