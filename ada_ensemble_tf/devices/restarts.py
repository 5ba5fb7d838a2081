"""Resuming after another worker was lost.

Communication cannot be repaired within a process: TensorFlow's server knows the other workers only as they were when it
started. So a worker that loses another restarts itself and goes on from the last checkpoint, together with the lost
worker once something has restarted that one too.
"""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from ada_ensemble_tf.devices.cluster import read_cluster
from data_pipelines.checksums import Checksums
from data_pipelines.errors import UserError

logger = logging.getLogger(__name__)

MAX_RESTARTS = 10
"""Restarts in a row without a new checkpoint between them."""
PAUSE_SECONDS = 2.0
"""Wait before each restart, so that the lost worker's old connections are gone."""
LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)
"""The errors TensorFlow raises if another worker is gone or has been restarted."""
_VARIABLE = "ADA_ENSEMBLE_RESTARTS"


@contextlib.contextmanager
def starting_anew(workdir: str | Path) -> Iterator[None]:
    """Wraps a training. If it loses another worker, a new process of the same command replaces this one.

    Raises:
        UserError: if that did not help `MAX_RESTARTS` times in a row.
    """
    try:
        yield
    except LOST as error:
        if (cluster := read_cluster()) is None:
            raise
        # The reason follows the list of operations that failed.
        lines = str(error).splitlines()
        reason = next((line for line in lines if "aborted by" in line or "/job:" in line), lines[0]).strip()
        who = f"worker {cluster.worker} of {len(cluster.addresses)}"
        saved, restarts = " ".join(Checksums(Path(workdir) / "checkpoints" / "last").names), 1
        before, _, count = os.environ.get(_VARIABLE, "").rpartition(":")
        if count and before == saved:
            restarts += int(count)
        if restarts > MAX_RESTARTS:
            raise UserError(
                f"{who}: started anew {MAX_RESTARTS} times without getting to another checkpoint; last: {reason}"
            ) from error
        logger.warning("%s: lost another worker (%s); starting anew from the last checkpoint", who, reason[:200])
        os.environ[_VARIABLE] = f"{saved}:{restarts}"
        time.sleep(PAUSE_SECONDS)
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
