"""What TensorBoard shows of a training run."""

import contextlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import tensorflow as tf

from ada_ensemble_tf.training.stages import learning_rate

logger = logging.getLogger(__name__)


class TensorBoardWriter:
    """Writes scalars of training and validation as two runs under one folder.

    Tags: `loss/*` each term of the loss, `learning_rate/*`, `layer_*/*` and `depth/*` the gates' reports, `metrics/*`,
    `speed/*`, `schedule/stage` where a model has stages, `experts/correlation/*` where it has experts.

    Args:
        folder: the folder to point TensorBoard at; with None nothing is written.
    """

    def __init__(self, folder: Path | None):
        self._folder = folder
        runs = ("training", "validation")
        writers = [tf.summary.create_file_writer(str(folder / run)) if folder else None for run in runs]
        self._training, self._validation = (writer or tf.summary.create_noop_writer() for writer in writers)

    def training(self, step: int, logs: Mapping[str, float], model) -> None:
        """Writes a report's means and the optimisers' learning rates."""
        tags = {"examples_per_second": "speed/examples_per_second", "flops_per_example": "speed/flops_per_example"}
        with self._training.as_default(step):
            for name, value in logs.items():
                tf.summary.scalar(tags.get(name, name if "/" in name else f"loss/{name}"), value)
            for part in ("embedding", "weight", "gate"):
                if optimizer := getattr(model, f"{part}_optimizer"):
                    tf.summary.scalar(f"learning_rate/{part}", learning_rate(optimizer))
        self._training.flush()

    def validation(self, step: int, results: Mapping[str, float]) -> None:
        """Writes an evaluation's metrics."""
        with self._validation.as_default(step):
            for name, value in results.items():
                tf.summary.scalar(name if "/" in name else f"metrics/{name}", value)
        self._validation.flush()

    @contextlib.contextmanager
    def profile(self) -> Iterator[None]:
        """Writes a profile of what runs within it, which must have ended by then."""
        if self._folder is None:
            yield
            return
        with tf.profiler.experimental.Profile(str(self._folder)):
            yield
        logger.info("profile: %s/plugins/profile", self._folder)

    def close(self) -> None:
        """Closes the files."""
        self._training.close()
        self._validation.close()
