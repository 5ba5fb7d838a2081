"""Ends collectives that take too long, with an error that names them.

TensorFlow's collectives have a timeout of their own (`timeout_seconds`), but each then holds a thread for the length of
the timeout: 1,000 exchanges of four numbers left 2,000 threads. Here one thread looks at two numbers a replica.
"""

import contextlib
import threading
import time
from collections.abc import Iterator

import tensorflow as tf
from tensorflow.python.eager import context

_POLL_SECONDS = 0.2


class CollectiveWatch:
    """What collectives the replicas of this process are in, and since when.

    Args:
        replicas: the number of replicas of this process.
        seconds: the longest time in one collective; 0 for no limit.
    """

    def __init__(self, replicas: int, seconds: float):
        self._seconds = seconds
        self._names: dict[int, str] = {}
        # (changes, the number of the collective or 0), for each replica.
        with tf.device("/device:CPU:0"):
            self._states = [tf.Variable([0, 0], trainable=False, dtype=tf.int64) for _ in range(replicas)]
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        if seconds > 0.0:
            self._thread.start()

    def close(self) -> None:
        """Stops watching."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join()

    @contextlib.contextmanager
    def during(self, replica: int, number: int, name: str) -> Iterator[list[tf.Operation]]:
        """Records in the graph that a replica enters the collective of a number; gives what must run before it."""
        self._names[number] = name
        with tf.device("/device:CPU:0"):
            entered = self._states[replica].assign_add([1, number], read_value=False)
        yield [entered]

    def finished(self, replica: int, number: int, result: tf.Tensor) -> None:
        """Records in the graph that the collective has given its result."""
        with tf.control_dependencies([result]), tf.device("/device:CPU:0"):
            self._states[replica].assign_add([1, -number], read_value=False)

    def waits_in(self) -> str | None:
        """The name of a collective that a replica is in; None if none is."""
        numbers = [int(state.numpy()[1]) for state in self._states]
        return next((self._names.get(number, "a collective") for number in numbers if number), None)

    def _look(self) -> None:
        seen, since = None, time.monotonic()
        while not self._closed.wait(min(_POLL_SECONDS, self._seconds / 10.0)):
            now = [state.numpy().tolist() for state in self._states]
            if now != seen or not any(number for _, number in now):
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > self._seconds:
                message = (
                    f"{self.waits_in()} did not finish in {self._seconds:g} s: another replica is gone, or did not "
                    "call it"
                )
                context.context().abort_collective_ops(tf.errors.DEADLINE_EXCEEDED, message)
                return
