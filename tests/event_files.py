"""What TensorBoard's event files hold."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf


class Point(NamedTuple):
    step: int
    value: np.ndarray | None
    plugin: str
    content: bytes


def read_events(folder: Path) -> dict[str, list[Point]]:
    """The points of each tag in a run's files, in their order."""
    points = {}
    for file in sorted(folder.glob("events.out.tfevents.*")):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                tensor = tf.make_ndarray(value.tensor) if value.HasField("tensor") else None
                plugin = value.metadata.plugin_data
                points.setdefault(value.tag, []).append(Point(event.step, tensor, plugin.plugin_name, plugin.content))
    return points
