"""Training on several devices and machines: each has a replica of the model and a part of every batch."""

import contextlib
import logging
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from ada_ensemble_tf.devices import replicas
from ada_ensemble_tf.devices.cluster import read_cluster
from data_pipelines.errors import UserError

logger = logging.getLogger(__name__)

STRATEGIES = ("auto", "none", "mirrored")
SEED_STRIDE = 0x9E3779B9
"""Apart by this are the seeds of one replica and the next: odd, so that no two meet soon."""


class Distribution:
    """Who trains together, and what they exchange.

    Rows of a global batch go to workers in order, and on each to its replicas in order. All replicas hold the same
    variables; each changes its own copy alike, from gradients and statistics that are summed over all. Only the random
    states differ, so that two replicas draw different noise for their rows.

    Args:
        strategy: a `tf.distribute` strategy; None is one replica.
        worker, workers: which machine this is, from 0, and how many there are.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None, worker: int = 0, workers: int = 1):
        self.strategy, self.worker, self.workers = strategy, worker, workers
        self.replicas = 1 if strategy is None else strategy.num_replicas_in_sync
        self._local_replicas = self.replicas // workers
        if workers > 1:
            # Traced once each, whatever the sizes.
            self._sum = tf.function(self._sum_of_workers, input_signature=[tf.TensorSpec([None], tf.float64)])
            self._gather = tf.function(self._rows_of_workers, input_signature=[tf.TensorSpec([None, None])])

    @property
    def is_chief(self) -> bool:
        """Whether this is the worker that writes."""
        return self.worker == 0

    def scope(self) -> contextlib.AbstractContextManager:
        """Variables made within it are on all replicas, with the values of the chief."""
        return contextlib.nullcontext() if self.strategy is None else self.strategy.scope()

    def worker_batch(self, batch_size: int) -> int:
        """The rows that a worker has of a global batch.

        Raises:
            UserError: if the replicas cannot have equal parts.
        """
        if batch_size % self.replicas:
            raise UserError(
                f"config.batch_size is the global batch, of which each of the {self.replicas} replicas has an equal "
                f"part; {batch_size} is no multiple of {self.replicas}"
            )
        return batch_size // self.workers

    def replicate(self, update: Callable) -> Callable:
        """`update` on all replicas at once, see `BilevelModel.distribute`; its arguments are the worker's rows.

        What it gives are the means over replicas, but for `first_bad` and `bad_step`: those of the replica where a
        tensor was not finite first.
        """

        # Left as it is: the conversion of Python's control flow, which no model uses, would take most of the tracing.
        @tf.autograph.experimental.do_not_convert
        def on_replica(*rows):
            return _of_all_replicas(update(*tf.nest.map_structure(self._part, rows)))

        def run(*rows):
            return tf.nest.map_structure(self._local, self.strategy.run(on_replica, rows))

        return run

    def _local(self, value):
        return self.strategy.experimental_local_results(value)[0]

    def _part(self, rows: tf.Tensor) -> tf.Tensor:
        """What this replica has of its worker's rows."""
        if self._local_replicas == 1:
            return rows
        parts = tf.reshape(rows, [self._local_replicas, -1, *rows.shape[1:]])
        part = parts[replicas.index() % self._local_replicas]
        return tf.ensure_shape(part, [rows.shape[0] // self._local_replicas, *rows.shape[1:]])

    def spread_seeds(self, model) -> None:
        """Gives each replica random states of its own.

        Those of the first replica stay, so a checkpoint of n replicas holds what one of a single process does.
        """
        states = [generator.state for layer in model._flatten_layers() for generator in layer._seed_generators]

        def move():
            for state in states:
                shift = tf.constant([SEED_STRIDE, 0], tf.int64) * tf.cast(replicas.index(), tf.int64)
                state.assign(state + tf.cast(shift, state.dtype))

        tf.function(lambda: self.strategy.run(move))()

    def agree(self, ok: bool) -> bool:
        """Whether it is so on all workers; none goes on before all have said."""
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
        # Each replica hands in a part of its worker's rows, all of equal length.
        size = -(-lengths.max() // self._local_replicas) * self._local_replicas
        padded = np.pad(rows, [(0, size - len(rows)), (0, 0)])
        together = self._gather(padded).numpy().reshape(self.workers, size, -1)
        return [part[:length] for part, length in zip(together, lengths, strict=True)]

    def in_file_order(self, batches: Sequence[np.ndarray]) -> np.ndarray:
        """The rows `[N, c]` of all workers in the order of the file, from this worker's parts of the global batches.

        Args:
            batches: `[B, c]` float32, as many on each worker, all but the last of the same length on all.
        """
        if self.workers == 1:
            return np.concatenate(batches)
        parts, (size, columns) = self.gather(np.concatenate(batches)), batches[0].shape
        count = len(batches) - 1
        whole = np.stack([part[: size * count].reshape(count, size, columns) for part in parts], axis=1)
        return np.concatenate([whole.reshape(-1, columns), *(part[size * count :] for part in parts)])

    def _sum_of_workers(self, numbers):
        return self._local(self.strategy.run(replicas.global_sum, (numbers,)))

    def _rows_of_workers(self, rows):
        def part_of_all(rows):
            part = tf.reshape(rows, [self._local_replicas, -1, tf.shape(rows)[1]])[
                replicas.index() % self._local_replicas
            ]
            return tf.distribute.get_replica_context().all_gather(part, axis=0)

        return self._local(self.strategy.run(part_of_all, (rows,)))


def _of_all_replicas(logs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Logs on a replica to what they are over all; in a single exchange."""
    names = [name for name in logs if name not in ("first_bad", "bad_step")]
    own = tf.cast(tf.stack([logs["first_bad"], tf.cast(logs["bad_step"], tf.int32)]), tf.int64)
    means = replicas.global_sum(tf.stack([tf.cast(logs[name], tf.float32) for name in names])) / replicas.count()
    first_bad, bad_step = tf.unstack(replicas.of_all(own), axis=1)
    first = tf.argmin(tf.where(first_bad >= 0, bad_step, tf.int64.max))
    found = {"first_bad": tf.cast(first_bad[first], tf.int32), "bad_step": bad_step[first]}
    return dict(zip(names, tf.unstack(means, num=len(names)), strict=True)) | found


def make_distribution(strategy: str) -> Distribution:
    """The distribution that `config.strategy` asks for.

    Several workers are those of the environment variable TF_CONFIG. Make it before anything else of TensorFlow.

    Args:
        strategy: "auto" takes all workers and all GPUs there are; "none" one device; "mirrored" all devices of this
            machine, its CPU devices where it has no GPU.

    Raises:
        UserError: for an unknown name, a malformed TF_CONFIG, several workers that are not to train together, a port
            that is taken, or "mirrored" with one device.
    """
    if strategy not in STRATEGIES:
        raise UserError(f"config.strategy must be one of {', '.join(STRATEGIES)}; received {strategy!r}")
    if (cluster := read_cluster()) is not None:
        if strategy != "auto":
            raise UserError(
                f"config.strategy={strategy!r} is of one machine, but TF_CONFIG names {len(cluster.addresses)} "
                "workers: use 'auto', or unset TF_CONFIG"
            )
        logger.info("worker %d of %d: waiting for the others", cluster.worker, len(cluster.addresses))
        try:
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
        except tf.errors.UnknownError as error:
            address = cluster.addresses[cluster.worker]
            raise UserError(
                f"cannot listen at {address}, which TF_CONFIG gives worker {cluster.worker}: is the port in use by "
                f"another process? ({str(error).splitlines()[0]})"
            ) from error
        return Distribution(strategy, cluster.worker, len(cluster.addresses))
    devices = tf.config.list_logical_devices("GPU")
    if strategy == "mirrored":
        devices = devices or tf.config.list_logical_devices("CPU")
        if len(devices) < 2:
            raise UserError(f"config.strategy='mirrored' needs two or more devices; there is {devices[0].name} alone")
    if strategy == "none" or len(devices) < 2:
        return Distribution()
    logger.info("training on %d devices: %s", len(devices), ", ".join(device.name for device in devices))
    return Distribution(tf.distribute.MirroredStrategy([device.name for device in devices]))
