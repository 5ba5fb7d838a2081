"""What TensorBoard shows of a training run."""

from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf


class TensorBoardWriter:
    """Writes scalars of training and validation as two runs under one folder.

    Tags: `loss/*` each term of the loss, `learning_rate/*`, `layer_*/*` and `depth/*` the gates' reports, `metrics/*`,
    `speed/*`, `schedule/stage` where a model has stages, `experts/correlation/*` where it has experts.

    Args:
        folder: the folder to point TensorBoard at.
    """

    def __init__(self, folder: Path):
        self._training = tf.summary.create_file_writer(str(folder / "training"))
        self._validation = tf.summary.create_file_writer(str(folder / "validation"))

    def training(self, step: int, logs: Mapping[str, float], model) -> None:
        """Writes a report's means and the optimisers' learning rates."""
        tags = {"examples_per_second": "speed/examples_per_second", "flops_per_example": "speed/flops_per_example"}
        with self._training.as_default(step):
            for name, value in logs.items():
                tf.summary.scalar(tags.get(name, name if "/" in name else f"loss/{name}"), value)
            for part in ("embedding", "weight", "gate"):
                if optimizer := getattr(model, f"{part}_optimizer"):
                    tf.summary.scalar(f"learning_rate/{part}", float(optimizer.learning_rate))
        self._training.flush()

    def validation(self, step: int, results: Mapping[str, float]) -> None:
        """Writes an evaluation's metrics."""
        with self._validation.as_default(step):
            for name, value in results.items():
                tf.summary.scalar(name if "/" in name else f"metrics/{name}", value)
        self._validation.flush()

    def close(self) -> None:
        """Closes the files."""
        self._training.close()
        self._validation.close()
