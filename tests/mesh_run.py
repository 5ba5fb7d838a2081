"""A process that shows what the replicas of a mesh exchange:

python tests/mesh_run.py OUT.npz     on 2 x 2 logical CPU devices
python tests/mesh_run.py OUT SECONDS as a worker of TF_CONFIG; worker 1 leaves without a word

The second writes OUT.<worker>.json.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from ada_ensemble_tf.devices.mesh import Mesh

OPERATIONS = ("all_gather", "reduce_scatter", "all_to_all", "all_reduce")
GROUPS = ("world", "host", "slot")
HOSTS, DEVICES, LOOPS = 2, 2, 3


def rows(group: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """(what every replica has, a factor for every element of a result), for a group of a size."""
    random = np.random.default_rng(GROUPS.index(group))
    return random.normal(size=(4, size, 2, 3)).astype(np.float32), random.normal(size=(4, 96)).astype(np.float32)


def exchange(out: str) -> None:
    """Saves every operation's result and gradient on each replica, in a graph's loop."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * HOSTS * DEVICES)
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(HOSTS * DEVICES)])
    mesh = Mesh(strategy, hosts=HOSTS, timeout=1.0)
    inputs = {group: rows(group, mesh.size(group)) for group in GROUPS}

    def on_replica(factor: tf.Tensor) -> dict[str, tf.Tensor]:
        found = {}
        for group, (x, weights) in inputs.items():
            own, weight = (tf.gather(values, mesh.replica()) for values in (x, weights))
            for name in OPERATIONS:
                with tf.GradientTape() as tape:
                    tape.watch(own)
                    y = getattr(mesh, name)(own * factor, group)
                    loss = tf.reduce_sum(tf.reshape(y, [-1]) * weight[: tf.size(y)])
                found |= {f"{name}_{group}": y, f"gradient_{name}_{group}": tape.gradient(loss, own)}
        narrow = tf.cast(inputs["host"][0][mesh.replica()], tf.bfloat16)
        return found | {"narrow": tf.cast(mesh.all_gather(narrow, "host"), tf.float32)}

    def once(factor: tf.Tensor) -> dict[str, tuple[tf.Tensor, ...]]:
        return tf.nest.map_structure(strategy.experimental_local_results, strategy.run(on_replica, (factor,)))

    @tf.function(autograph=False)
    def loop():
        start = tf.nest.map_structure(tf.zeros_like, once(tf.constant(1.0)))
        _, total = tf.while_loop(
            lambda i, total: i < LOOPS,
            lambda i, total: (i + 1, tf.nest.map_structure(tf.add, total, once(tf.cast(i + 1, tf.float32)))),
            (tf.constant(0), start),
        )
        return total

    found = {name: np.stack([x.numpy() for x in values]) for name, values in loop().items()}
    messages = {"inside_before": str(mesh.waits_in())}

    @tf.function(autograph=False)
    def left_alone():
        return strategy.run(lambda: None if mesh.replica() == 3 else mesh.all_reduce(tf.ones([2]), "slot"))

    try:
        left_alone()
    except tf.errors.DeadlineExceededError as error:
        messages |= {"left_alone": str(error), "inside_after": str(mesh.waits_in())}
    mesh.close()
    np.savez(out, **found, **messages)


def leave(out: str, seconds: float) -> None:
    """Sums over the workers; then one is gone, and the other writes what it is told."""
    from ada_ensemble_tf.devices.strategies import make_distribution

    distribution = make_distribution("auto", 60.0)
    strategy, worker = distribution.strategy, distribution.worker
    mesh = Mesh(strategy, distribution.workers, worker, distribution.workers, timeout=seconds)

    @tf.function(autograph=False)
    def total(x):
        return strategy.run(lambda: mesh.all_to_all(mesh.all_reduce(x + mesh.replica()), "slot"))

    first = total(tf.zeros([2, 3])).numpy().tolist()
    if worker == 1:
        os._exit(0)
    try:
        total(tf.zeros([2, 3]))
        message = "no error"
    except tf.errors.OpError as error:
        message = str(error)
    Path(out).write_text(json.dumps({"first": first, "message": message}))
    os._exit(0)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        exchange(sys.argv[1])
    else:
        leave(sys.argv[1], float(sys.argv[2]))
