"""Bytes that the devices of a mesh send in collectives, counted while these run."""

import tensorflow as tf

KINDS = ("all_gather", "reduce_scatter", "all_to_all", "all_reduce")
GROUPS = ("world", "host", "slot")


class WireCount:
    """Counts the collectives' input on each device, and tells what they send of it.

    A device of a group of n sends n - 1 times its input in an all-gather, (n - 1) / n of it in a reduce-scatter and an
    all-to-all, and twice that in an all-reduce, as rings do.

    Args:
        replicas: of this process.
        sizes: devices of each group.
    """

    def __init__(self, replicas: int, sizes: dict[str, int]):
        self._sizes = sizes
        with tf.device("/device:CPU:0"):
            self._inputs = {
                (replica, kind, group): tf.Variable(0, trainable=False, dtype=tf.int64)
                for replica in range(replicas)
                for kind in KINDS
                for group in GROUPS
            }

    def add(self, replica: int, kind: str, group: str, x: tf.Tensor) -> None:
        """Records in the graph that a replica gives x to a collective."""
        size = tf.size(x, tf.int64) * x.dtype.size
        with tf.device("/device:CPU:0"):
            self._inputs[replica, kind, group].assign_add(size, read_value=False)

    def sent(self) -> dict[tuple[str, str], float]:
        """Bytes that a device has sent so far, the mean over this process's, by (kind, group), without zeros."""
        replicas, found = 1 + max(replica for replica, _, _ in self._inputs), dict[tuple[str, str], float]()
        for (_, kind, group), size in self._inputs.items():
            n = self._sizes[group]
            factor = {"all_gather": n - 1, "all_reduce": 2 * (n - 1) / n}.get(kind, (n - 1) / n)
            found[kind, group] = found.get((kind, group), 0.0) + factor * int(size.numpy()) / replicas
        return {key: size for key, size in found.items() if size}
