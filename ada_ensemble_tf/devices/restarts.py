"""Going on where another worker was lost.

What workers exchange cannot be mended within a process: TensorFlow's server knows the others by what they were when it
started. So a worker that loses another starts itself anew and goes on from the last checkpoint, together with the one
that was lost as soon as something has started that again.
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
"""In a row, without a new checkpoint between them."""
PAUSE_SECONDS = 2.0
"""Before each: what is left of the lost worker's connections should be gone."""
LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)
"""What TensorFlow raises where another worker is gone, or has been started again."""
_VARIABLE = "ADA_ENSEMBLE_RESTARTS"


@contextlib.contextmanager
def starting_anew(workdir: str | Path) -> Iterator[None]:
    """Wraps a training: where it loses another worker, this process is replaced by a new one of the same command.

    Raises:
        UserError: where that has not helped `MAX_RESTARTS` times in a row.
    """
    try:
        yield
    except LOST as error:
        if (cluster := read_cluster()) is None:
            raise
        # What it was about comes after the operations that it came up in.
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
