"""Writes a training run's TensorBoard files."""

import contextlib
import json
import logging
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import tensorflow as tf
from tensorboard.plugins.custom_scalar import metadata as custom_scalars
from tensorboard.plugins.image import metadata as images

from ada_ensemble_tf.models import CTRModel
from ada_ensemble_tf.trained.changed_keys import changed_keys
from ada_ensemble_tf.trained.run_files import flat
from ada_ensemble_tf.training.monitoring.dead_experts import dead_in_reports
from ada_ensemble_tf.training.monitoring.layout import dashboard_layout
from ada_ensemble_tf.updates.stages import learning_rate

logger = logging.getLogger(__name__)

_OVERVIEW = {
    "auc": "AUC, validation",
    "log_loss": "LogLoss",
    "logloss": "LogLoss",
    "calibration": "calibration, validation",
    "examples_per_second": "training examples per second",
}
"""What the group that TensorBoard opens on calls the figures of a report or an evaluation."""


class TensorBoardWriter:
    """Writes scalars and images of training and validation as two runs under one folder.

    TensorBoard opens on the group `Overview`, as capitals come before small letters. It has the figures to watch, with
    LogLoss of both runs in one chart. The other groups have these too, under their own names.

    Tags: `loss/*` for each term of the loss, `learning_rate/*`, `layer_*/*` and `depth/*` for the gates' reports with
        `dead_experts`, `metrics/*`, `speed/*`, `schedule/stage` if the model has stages, `experts/correlation/*` if it
        has experts, `embeddings/*`, `input/*`; images `calibration/reliability` and `experts/alluvial`; text `config`.

    Args:
        folder: TensorBoard's log folder; with None nothing is written.
    """

    def __init__(self, folder: Path | None):
        self._folder = folder
        runs = ("training", "validation")
        writers = [tf.summary.create_file_writer(str(folder / run)) if folder else None for run in runs]
        self._training, self._validation = (writer or tf.summary.create_noop_writer() for writer in writers)

    def lay_out(self, model: CTRModel, config: Mapping[str, Any] | None = None) -> None:
        """Writes the layout of the model's charts in Custom Scalars, and the config, if given, as a text."""
        layout = dashboard_layout(model).SerializeToString()
        with self._training.as_default(0):
            tf.summary.write(custom_scalars.CONFIG_SUMMARY_TAG, layout, metadata=_metadata(custom_scalars))
            if config is not None:
                tf.summary.text("config", config_text(config))
        self._training.flush()

    def training(self, step: int, logs: Mapping[str, float], model: CTRModel) -> None:
        """Writes a report's means and the optimisers' learning rates."""
        tags = {"examples_per_second": "speed/examples_per_second", "flops_per_example": "speed/flops_per_example"}
        with self._training.as_default(step):
            for name, value in {**logs, **dead_in_reports(logs)}.items():
                tf.summary.scalar(tags.get(name, name if "/" in name else f"loss/{name}"), value)
                _overview(name, value)
            for part in ("embedding", "weight", "gate"):
                if optimizer := getattr(model, f"{part}_optimizer"):
                    tf.summary.scalar(f"learning_rate/{part}", learning_rate(optimizer))
        self._training.flush()

    def validation(self, step: int, results: Mapping[str, float], pictures: Mapping[str, bytes] | None = None) -> None:
        """Writes an evaluation's metrics, and PNG images by tag."""
        with self._validation.as_default(step):
            for name, value in results.items():
                tf.summary.scalar(name if "/" in name else f"metrics/{name}", value)
                _overview(name, value)
            for tag, png in (pictures or {}).items():
                # Same format as `tf.summary.image`, without decoding and encoding.
                width, height = struct.unpack(">II", png[16:24])
                tf.summary.write(tag, [str(width), str(height), png], metadata=_metadata(images, None, None))
        self._validation.flush()

    def close(self) -> None:
        """Closes the files."""
        self._training.close()
        self._validation.close()


def config_text(config: Mapping[str, Any]) -> str:
    """A config in Markdown: first what is not the model's default, then all keys."""
    changed = [f"| {key} | `{value}` | `{default}` |" for key, value, default in changed_keys(config)]
    every = [f"| {key} | `{json.dumps(value)}` |" for key, value in sorted(flat(config).items())]
    if changed:
        changed = ["### Not the model's default", "", "| key | value | default |", "|---|---|---|", *changed, ""]
    return "\n".join([*changed, "### All keys", "", "| key | value |", "|---|---|", *every])


def _overview(name: str, value: float) -> None:
    """Writes a figure to watch once more, where TensorBoard opens."""
    if name in _OVERVIEW:
        tf.summary.scalar(f"Overview/{_OVERVIEW[name]}", value)


def _metadata(plugin: ModuleType, *arguments: Any) -> tf.compat.v1.SummaryMetadata:
    """The metadata by which a TensorBoard plugin recognises its tags; the plugin's own class would be refused."""
    return tf.compat.v1.SummaryMetadata.FromString(plugin.create_summary_metadata(*arguments).SerializeToString())


@contextlib.contextmanager
def profile(folder: Path) -> Iterator[None]:
    """Profiles the code within the block, which must have finished when the block ends."""
    with tf.profiler.experimental.Profile(str(folder)):
        yield
    logger.info("profile: %s/plugins/profile", folder)
