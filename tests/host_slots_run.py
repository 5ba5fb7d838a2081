"""Trains a table on a second logical device, with its optimiser's slots beside it and on the host; prints results."""

import json
import sys

import numpy as np
import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

import keras  # noqa: E402 - TensorFlow's devices come first

from ada_ensemble_tf.optimizers import make_optimizer  # noqa: E402


def trained(name: str, place: str) -> dict:
    """The table and its slots after three updates of a few rows, in a graph, and where they are."""
    with tf.device("CPU:1"):
        table = keras.Variable(np.linspace(-1.0, 1.0, 12).reshape(6, 2), dtype="float32", name="table")
        optimizer = make_optimizer(name, learning_rate=0.1, slots_on=place, use_ema=True)
        optimizer.build([table])

        @tf.function
        def update(rows: tf.Tensor) -> None:
            gradient = tf.IndexedSlices(tf.ones([2, 2]) * tf.cast(rows + 1, tf.float32)[:, None], rows, (6, 2))
            optimizer.apply([gradient], [table])

        for rows in ([0, 3], [3, 5], [0, 0]):
            update(tf.constant(rows))
    slots = [*optimizer.slots(table), *optimizer.average_slots(table)]
    return {
        "values": [np.asarray(v.value).tolist() for v in (table, *slots)],
        "table": table.value.device,
        "slots": sorted({slot.value.device for slot in slots}),
    }


if __name__ == "__main__":
    print(json.dumps({place: trained(sys.argv[1], place) for place in ("device", "host")}))
