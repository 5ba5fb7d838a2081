"""Training on several devices and machines; each has a replica of the model and a part of every batch."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ada_ensemble_tf.devices import replicas
from ada_ensemble_tf.devices.cluster import Cluster
from ada_ensemble_tf.devices.coordination import told_by_all
from ada_ensemble_tf.devices.mesh import Mesh
from ada_ensemble_tf.devices.rows_on_replicas import RowsOnReplicas
from ada_ensemble_tf.devices.watch import Watch
from ada_ensemble_tf.keras_private import random_states
from data_pipelines.errors import UserError

STOP = "stop"
"""A key in the logs of an update on several replicas; its value is above 0 if a worker was asked to end."""
SEED_STRIDE = 0x9E3779B9
"""The distance between the seeds of neighbouring replicas; odd, so that no two meet soon."""


class Distribution:
    """The replicas and workers that train together, and what they exchange.

    Rows of a global batch go to the workers in order, and on each worker to its replicas in order. All replicas hold
    the same variables and change their copies alike, from gradients and statistics summed over all replicas. Only the
    random states differ, so that replicas draw different noise for their rows.

    Args:
        strategy: a `tf.distribute` strategy; None is one replica.
        cluster: the machines, if there are several.
        timeout: seconds to wait for other workers before this one ends with a message.

    Attributes:
        worker: which machine this is, from 0.
        workers: how many there are.
        stop_flag: int64, 1 once this process was asked to end, see `training.stopping`.
        mesh: of the replicas, once `make_mesh` has made it for tables that they share; else None.
    """

    def __init__(
        self, strategy: tf.distribute.Strategy | None = None, cluster: Cluster | None = None, timeout: float = 0.0
    ):
        self.strategy, self._cluster, self._timeout = strategy, cluster, timeout
        self.worker, self.workers = (cluster.worker, len(cluster.addresses)) if cluster else (0, 1)
        self.stop_flag = tf.Variable(0, trainable=False, dtype=tf.int64, name="stop_flag")
        self._watch = Watch(cluster, timeout) if cluster else None
        self.mesh: Mesh | None = None
        self.replicas = 1 if strategy is None else strategy.num_replicas_in_sync
        self._local_replicas = self.replicas // self.workers
        if self.workers > 1:
            # Each is traced once, for all sizes.
            self._sum = tf.function(
                self._sum_of_workers, input_signature=[tf.TensorSpec([None], tf.float64)], autograph=False
            )
            self._gather = tf.function(
                self._rows_of_workers, input_signature=[tf.TensorSpec([None, None])], autograph=False
            )

    @property
    def is_chief(self) -> bool:
        """Whether this worker is the one that writes files."""
        return self.worker == 0

    def close(self) -> None:
        """Ends the watch over this worker's waiting."""
        if self._watch is not None:
            self._watch.close()
        if self.mesh is not None:
            self.mesh.close()

    def make_mesh(self, hosts: int | None = None) -> Mesh:
        """Makes the mesh of the replicas; call it on all workers, outside of `scope`.

        Args:
            hosts: by default each worker is a host.
        """
        self.mesh = Mesh(self.strategy, hosts or self.workers, self.worker, self.workers)
        if self._watch is not None:
            self._watch.waits_in = self.mesh.waits_in
        return self.mesh

    def doing(self, what: str) -> None:
        """Records what this worker does from now on, and that it is alive.

        If it then waits too long for the others, the process ends with a message that says what it was doing.

        Args:
            what: e.g. "in training".
        """
        if self._watch is not None:
            self._watch.doing(what)

    def follow(self, step: Callable[[], int]) -> None:
        """Also counts every change of `step()` as a sign of life."""
        if self._watch is not None:
            self._watch.follow(step)

    def told_by_all(self, topic: str, text: str) -> list[tuple[str, str]]:
        """(name, text) of each worker, in worker order; see `coordination.told_by_all`."""
        if self._cluster is None:
            return [("this process", text)]
        told = told_by_all(self._cluster, topic, text, self._timeout)
        return [(self._cluster.name(i), one) for i, one in enumerate(told)]

    def scope(self) -> contextlib.AbstractContextManager:
        """Variables made within this scope are on all replicas, with the chief's values."""
        return contextlib.nullcontext() if self.strategy is None else self.strategy.scope()

    def worker_batch(self, batch_size: int) -> int:
        """The number of a global batch's rows that each worker gets.

        Raises:
            UserError: if the batch cannot be split equally among the replicas.
        """
        if batch_size % self.replicas:
            raise UserError(
                f"config.batch_size is the global batch, split equally among {self.replicas} replicas; "
                f"{batch_size} is not a multiple of {self.replicas}"
            )
        return batch_size // self.workers

    def replicate(self, update: Callable) -> Callable:
        """Runs `update` on all replicas at once, see `BilevelModel.distribute`; the arguments are the worker's rows.

        The results are means over replicas, except for `first_bad` and `bad_step`, which come from the replica where a
        tensor was not finite first. `STOP` says whether a worker was asked to end; all workers learn it in the same
        update.
        """

        # No AutoGraph here either, see `graph_loop`.
        @tf.autograph.experimental.do_not_convert
        def on_replica(*rows: tf.Tensor) -> dict[str, tf.Tensor]:
            logs = update(*tf.nest.map_structure(self.part, rows))
            return _of_all_replicas(logs, self.stop_flag.read_value())

        def run(*rows: tf.Tensor) -> dict[str, tf.Tensor]:
            return tf.nest.map_structure(self._local, self._several.run(on_replica, rows))

        return run

    def stop_asked(self, logs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Whether training is to end after the step that gave `logs`: int64, 0 for no, the same on all workers."""
        return logs[STOP] if STOP in logs else self.stop_flag.read_value()

    def stop_asked_anywhere(self) -> bool:
        """Whether any worker was asked to end; returns once all workers have answered."""
        return bool(self.total([float(self.stop_flag.numpy())])[0] > 0.0)

    @property
    def local_replicas(self) -> int:
        """The replicas of this worker."""
        return self._local_replicas

    def of_rows(self, function: Callable[[Any], Any], signature: Any) -> Callable[[Any], Any]:
        """`function` as a graph, to be called in inference with any number of rows.

        Where replicas share tables, all workers call it together and their replicas split the rows, see
        `RowsOnReplicas`.

        Args:
            function: takes inputs, rows first, and returns a structure of tensors: rows first, or scalar sums.
            signature: of its inputs.
        """
        if self.mesh is None:
            return tf.function(function, input_signature=[signature], autograph=False)
        return RowsOnReplicas(function, self)

    @property
    def _several(self) -> tf.distribute.Strategy:
        """The strategy of a distribution that has one."""
        assert self.strategy is not None
        return self.strategy

    def _local(self, value: Any) -> tf.Tensor:
        return self._several.experimental_local_results(value)[0]

    def part(self, rows: tf.Tensor) -> tf.Tensor:
        """The part of its worker's rows that belongs to the replica being traced."""
        if self._local_replicas == 1:
            return rows
        parts = tf.reshape(rows, [self._local_replicas, -1, *rows.shape[1:]])
        part = parts[replicas.index() % self._local_replicas]
        return tf.ensure_shape(part, [rows.shape[0] // self._local_replicas, *rows.shape[1:]])

    def spread_seeds(self, model: keras.Model) -> None:
        """Gives each replica its own random states.

        The first replica keeps its states, so a checkpoint of n replicas holds the same as one of a single process.
        """
        states = random_states(model)

        def move():
            for state in states:
                shift = tf.constant([SEED_STRIDE, 0], tf.int64) * tf.cast(replicas.index(), tf.int64)
                state.assign(state + tf.cast(shift, state.dtype))

        tf.function(lambda: self._several.run(move), autograph=False)()

    def agree(self, ok: bool) -> bool:
        """Whether `ok` is true on all workers; returns once all workers have answered."""
        return self.total([float(not ok)])[0] == 0.0

    def total(self, numbers: Sequence[float]) -> np.ndarray:
        """Each number summed over the workers, in float64."""
        if self.workers == 1:
            return np.asarray(numbers)
        return self._sum(np.asarray(numbers) / self._local_replicas).numpy()

    def gather(self, rows: np.ndarray) -> list[np.ndarray]:
        """The rows `[n, c]` float32 of each worker; n may differ."""
        if self.workers == 1:
            return [rows]
        lengths = self.total(len(rows) * (np.arange(self.workers) == self.worker)).round().astype(int)
        # Each replica contributes a part of its worker's rows; all parts have equal length.
        size = -(-lengths.max() // self._local_replicas) * self._local_replicas
        padded = np.pad(rows, [(0, size - len(rows)), (0, 0)])
        together = self._gather(padded).numpy().reshape(self.workers, size, -1)
        return [part[:length] for part, length in zip(together, lengths, strict=True)]

    def in_file_order(self, batches: Sequence[np.ndarray]) -> np.ndarray:
        """The rows `[N, c]` of all workers in file order, from this worker's parts of the global batches.

        Args:
            batches: `[B, c]` float32; every worker has the same number, and all but the last have the same length on
                all.
        """
        if self.workers == 1:
            return np.concatenate(batches)
        parts, (size, columns) = self.gather(np.concatenate(batches)), batches[0].shape
        count = len(batches) - 1
        whole = np.stack([part[: size * count].reshape(count, size, columns) for part in parts], axis=1)
        return np.concatenate([whole.reshape(-1, columns), *(part[size * count :] for part in parts)])

    def _sum_of_workers(self, numbers: tf.Tensor) -> tf.Tensor:
        return self._local(self._several.run(replicas.global_sum, (numbers,)))

    def _rows_of_workers(self, rows: tf.Tensor) -> tf.Tensor:
        def part_of_all(rows: tf.Tensor) -> tf.Tensor:
            part = tf.reshape(rows, [self._local_replicas, -1, tf.shape(rows)[1]])[
                replicas.index() % self._local_replicas
            ]
            return tf.distribute.get_replica_context().all_gather(part, axis=0)

        return self._local(self._several.run(part_of_all, (rows,)))


def _of_all_replicas(logs: dict[str, tf.Tensor], stop: tf.Tensor) -> dict[str, tf.Tensor]:
    """Combines the logs of all replicas, and whether one is to stop, in two exchanges."""
    names = [name for name in logs if name not in ("first_bad", "bad_step")]
    own = tf.stack([tf.cast(logs["first_bad"], tf.int64), tf.cast(logs["bad_step"], tf.int64), stop])
    means = replicas.global_sum(tf.stack([tf.cast(logs[name], tf.float32) for name in names])) / replicas.count()
    first_bad, bad_step, stops = tf.unstack(replicas.of_all(own), axis=1)
    first = tf.argmin(tf.where(first_bad >= 0, bad_step, tf.int64.max))
    found = {"first_bad": tf.cast(first_bad[first], tf.int32), "bad_step": bad_step[first]}
    return dict(zip(names, tf.unstack(means, num=len(names)), strict=True)) | found | {STOP: tf.reduce_max(stops)}
