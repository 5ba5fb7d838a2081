"""Inference on rows where replicas share tables: all of them look rows up together."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from ada_ensemble_tf.devices.distribution import Distribution


class RowsOnReplicas:
    """A function of rows in inference, computed by all replicas together because they share tables.

    The rows of every worker are filled up to one number that is the same on all and that the replicas of a worker can
    split: its own rows in turn. Results for those are left out; scalar sums are scaled down to the worker's own rows.

    Args:
        function: see `Distribution.of_rows`.
        distribution: of the replicas.
    """

    def __init__(self, function: Callable[[Any], Any], distribution: "Distribution"):
        self._function, self._distribution, self._size = function, distribution, 0
        # Traced for each number of rows: collectives need shapes that do not change.
        self._run = tf.function(self._on_all, autograph=False)

    def __call__(self, inputs: Any) -> Any:
        """The results for these rows; NumPy arrays or tensors."""
        inputs = tf.nest.map_structure(tf.convert_to_tensor, inputs)
        rows = int(tf.nest.flatten(inputs)[0].shape[0])
        distribution = self._distribution
        of_workers = distribution.total(rows * (np.arange(distribution.workers) == distribution.worker))
        parts = distribution.local_replicas
        self._size = max(self._size, -(-round(max(of_workers)) // parts) * parts)
        filled = tf.nest.map_structure(lambda x: _filled(x, self._size), inputs)
        return tf.nest.map_structure(lambda x: x[:rows] if x.shape.rank else x * (rows / self._size), self._run(filled))

    def _on_all(self, inputs: Any) -> Any:
        distribution = self._distribution
        strategy = distribution.strategy
        assert strategy is not None, "there are several replicas"

        @tf.autograph.experimental.do_not_convert
        def on_replica(rows: Any) -> Any:
            return self._function(tf.nest.map_structure(distribution.part, rows))

        def of_worker(value: Any) -> tf.Tensor:
            parts = strategy.experimental_local_results(value)
            return tf.concat(parts, axis=0) if parts[0].shape.rank else tf.add_n(list(parts))

        return tf.nest.map_structure(of_worker, strategy.run(on_replica, (inputs,)))


def _filled(x: tf.Tensor, rows: int) -> tf.Tensor:
    """x with its rows repeated in turn; without rows, with ids that are looked up nowhere."""
    if x.shape[0] == rows:
        return x
    if not x.shape[0]:
        return tf.fill([rows, *x.shape[1:]], tf.constant(-1, x.dtype))
    return tf.gather(x, tf.range(rows) % x.shape[0])
