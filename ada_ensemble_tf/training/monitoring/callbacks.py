"""Keras callbacks for training with `fit`."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.gates.scalars import report_scalars
from ada_ensemble_tf.training.monitoring.dead_experts import dead_in_reports
from data_pipelines.read.inputs import Inputs, ids_of


class GateReports(keras.callbacks.Callback):
    """Writes every gate's report to TensorBoard at the end of each epoch.

    The reports come from one forward pass in inference mode over the given rows. They contain load and share of rows
    per expert and layer, dead experts, exit depths, entropy, temperature, the current K, and the FLOPs per example as
    routed.

    Args:
        log_dir: TensorBoard's log folder.
        inputs: the rows to report on, as the model takes them; a few thousand held-out rows are best.
    """

    def __init__(self, log_dir: str, inputs: Inputs):
        super().__init__()
        self._log_dir = log_dir
        self._inputs = tf.nest.map_structure(tf.convert_to_tensor, inputs)

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Opens the file."""
        self._writer = tf.summary.create_file_writer(self._log_dir)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Writes the reports of one forward pass."""
        forward = self.model.forward(self._inputs, training=False)
        with self._writer.as_default(epoch):
            scalars = report_scalars(forward.reports, self.model.choice_names())
            for name, value in (scalars | dead_in_reports(scalars)).items():
                tf.summary.scalar(name, value)
            tf.summary.scalar("speed/flops_per_example", forward.flops / len(ids_of(self._inputs)))
        self._writer.flush()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Closes the file."""
        self._writer.close()
