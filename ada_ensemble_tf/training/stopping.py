"""Ends a training on request: by SIGTERM, by SIGINT, or by the process that started it.

During the steps, training ends after the next step, with a checkpoint. All workers end after the same step, whichever
of them was asked. An evaluation is finished first, because the next run would not repeat it. Before and after the steps
there is nothing to save, and the process ends at once. The exit code is `errors.STOPPED` in either case. A second
signal, at least a second after the first, ends the process at once with the signal's code (143 for SIGTERM). Until
TensorFlow has started, signals have their usual effect.
"""

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from data_pipelines.errors import STOPPED

if TYPE_CHECKING:
    import tensorflow as tf

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)
SAME_SECONDS = 1.0
"""Signals less than this many seconds apart count as one: `timeout`, for example, signals the process and its group."""


class StopRequest:
    """Whether this process was asked to end."""

    def __init__(self) -> None:
        self.why: str | None = None
        """Who asked this process to end, once someone has."""
        self._flag: tf.Variable | None = None
        self._in_steps = False
        self._lock = threading.Lock()

    def listen(self, flag: "tf.Variable") -> None:
        """Handles signals from now on; call it in the main thread, once TensorFlow's server has started.

        That server takes SIGTERM for itself and does nothing with it.

        Args:
            flag: becomes 1 when the training is to end; the training's graph reads it between two steps.
        """
        self._flag = flag
        # Python calls handlers in the main thread, which may be in a graph for minutes. Another thread learns at once.
        read, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, lambda *_: None)
        threading.Thread(target=self._hear, args=(read,), daemon=True).start()

    @contextlib.contextmanager
    def in_steps(self) -> Iterator[None]:
        """Within the block, a request waits for the end of a step; outside, it ends the process."""
        with self._lock:
            self._in_steps = True
        try:
            yield
        finally:
            with self._lock:
                self._in_steps = False

    def ask(self, why: str) -> None:
        """Asks this process to end; may be called from any thread.

        Args:
            why: who asks, for the message, e.g. "SIGTERM".
        """
        with self._lock:
            if self.why is not None:
                return
            self.why = why
            if self._in_steps and self._flag is not None:
                logger.info("asked to end by %s: a checkpoint is written after this step", why)
                self._flag.assign(1)
                return
        print(f"stopped: asked to end by {why}; the same command goes on from the last checkpoint", file=sys.stderr)
        _leave(STOPPED)

    def _hear(self, pipe: int) -> None:
        first = None
        while True:
            for number in os.read(pipe, 16):
                if number not in SIGNALS:
                    continue
                if first is None:
                    first = time.monotonic()
                    self.ask(signal.Signals(number).name)
                elif time.monotonic() - first >= SAME_SECONDS:
                    _leave(128 + number)


def _leave(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
