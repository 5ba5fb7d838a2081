"""A training's row in TensorBoard's HParams table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorboard.plugins.hparams import api_pb2, summary, summary_v2


def write_hparams(folder: Path, hparams: Mapping[str, Any], results: Mapping[str, Any]) -> None:
    """Writes the row: the values by which the trainings differ, and their results.

    Args:
        folder: where the row goes; it should hold nothing else.
        hparams: values by name; anything but numbers, text and booleans is written as text.
        results: what metrics.json holds; it shows AUC and LogLoss of validation and, if scored, of test.
    """
    known = {name: x if isinstance(x, bool | int | float | str) else str(x) for name, x in hparams.items()}
    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default(results["best_step"]):
        tf.summary.experimental.write_raw_pb(summary_v2.hparams_pb(known).SerializeToString())
        for split in ("validation", "test"):
            for name in ("auc", "logloss"):
                if split in results:
                    tf.summary.scalar(f"{split}/{name}", results[split][name])
        ended = summary.session_end_pb(api_pb2.STATUS_SUCCESS)
        tf.summary.experimental.write_raw_pb(ended.SerializeToString())
    writer.close()
