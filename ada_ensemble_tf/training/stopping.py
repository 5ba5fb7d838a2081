"""Ending a training when asked to: by SIGTERM, by SIGINT, or by the process that started it.

While steps are made it ends after the next of them, with a checkpoint. Several workers end after the same one,
whichever of them was asked. An evaluation is finished first, since the next run would not make up for it. Before and
after the steps there is nothing to save, and the process ends at once. The exit code is `errors.STOPPED` in either
case. A second signal, a second or more after the first, ends it at once with the signal's code (143 for SIGTERM).
Until TensorFlow has started, signals do what they do to any process.
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
"""Signals so near to each other are one: `timeout`, say, sends its own to the process and to its group."""


class StopRequest:
    """Whether this process was asked to end."""

    def __init__(self) -> None:
        self.why: str | None = None
        """Who asked, once someone has."""
        self._flag: tf.Variable | None = None
        self._in_steps = False
        self._lock = threading.Lock()

    def listen(self, flag: "tf.Variable") -> None:
        """Handles signals from now on; call it in the main thread, once TensorFlow's server has started.

        That server takes SIGTERM for itself, and does nothing with it.

        Args:
            flag: becomes 1 when the training is to end; its graph reads it between two steps.
        """
        self._flag = flag
        # Python calls handlers in the main thread, which may be within a graph for minutes. A thread is told at once.
        read, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, lambda *_: None)
        threading.Thread(target=self._hear, args=(read,), daemon=True).start()

    @contextlib.contextmanager
    def in_steps(self) -> Iterator[None]:
        """Within it a request waits for the end of a step; before and after, it ends the process."""
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
            why: for the message, e.g. "SIGTERM".
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
