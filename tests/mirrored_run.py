"""A process with two CPU devices that either trains or shows what two replicas exchange:

python tests/mirrored_run.py ARGUMENTS OF ada_ensemble_tf.train
python tests/mirrored_run.py OUT.npz

The environment's variable DEVICES sets another number of devices.
"""

import os
import sys

import keras
import numpy as np
import tensorflow as tf

from ada_ensemble_tf.devices import replicas
from ada_ensemble_tf.devices.distribution import Distribution
from ada_ensemble_tf.devices.strategies import make_distribution
from ada_ensemble_tf.layers.normalization import RoutedBatchNormalization


def exchange(out: str) -> None:
    """Saves what each of two replicas computes from its part of some rows."""
    earlier, strategy = (make_distribution("mirrored").strategy for _ in range(2))
    # Of another shape than any that comes later, as in another model.
    earlier.run(tf.function(lambda: replicas.global_sum(tf.ones([3])), autograph=False))
    rows = np.random.default_rng(5).normal(3.0, 2.0, (9, 4)).astype(np.float32)
    with strategy.scope():
        layer = RoutedBatchNormalization()
        layer.build((None, 4))
        dropout = keras.layers.Dropout(0.5, seed=3)
        dropout.build((None, 1))
    model = type("Model", (), {"_flatten_layers": lambda self: [dropout]})()
    Distribution(strategy).spread_seeds(model)

    def on_replica():
        # One replica has two rows, too few for its own statistics to be like those of all; the other has seven.
        first = tf.equal(replicas.index(), 0)
        mine = tf.constant(rows)[tf.where(first, 0, 2) : tf.where(first, 2, len(rows))]
        mine = tf.ensure_shape(mine, [None, 4])
        with tf.GradientTape() as tape:
            tape.watch(mine)
            y = layer(mine, training=True)
            loss = replicas.global_sum(tf.reduce_sum(y**3)) ** 2 / replicas.count()
        noise = dropout(tf.ones([64, 1]), training=True)
        return y, tape.gradient(loss, mine), replicas.of_all(tf.shape(mine)[0]), noise, replicas.global_min(mine[0])

    parts = tf.function(
        lambda: tf.nest.map_structure(strategy.experimental_local_results, strategy.run(on_replica)), autograph=False
    )()
    names = ("y", "gradient", "rows_of_all", "noise", "smallest")
    arrays = {f"{name}_{i}": x.numpy() for name, pair in zip(names, parts, strict=True) for i, x in enumerate(pair)}
    statistics = (layer.moving_mean, layer.moving_variance, dropout.seed_generator.state)
    values = [[copy.numpy() for copy in strategy.experimental_local_results(v.value)] for v in statistics]
    np.savez(out, rows=rows, mean=values[0], variance=values[1], seeds=values[2], **arrays)


if __name__ == "__main__":
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * int(os.environ.get("DEVICES", 2))
    )
    if len(sys.argv) == 2:
        exchange(sys.argv[1])
    else:
        # Its flags are required, so it is imported only here.
        from ada_ensemble_tf import train
        from data_pipelines.errors import run_main

        run_main(train.main)
