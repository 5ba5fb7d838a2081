"""Tests of `devices.distribution`; `test_workers.py` tests several replicas."""

import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.devices import replicas
from ada_ensemble_tf.devices.distribution import STOP, Distribution
from ada_ensemble_tf.devices.strategies import make_distribution
from data_pipelines.errors import UserError


class ThreeWorkers(Distribution):
    """Worker 0 of three, which has already received the others' answers."""

    def __init__(self, others):
        super().__init__()
        self.workers, self.others = 3, others

    def gather(self, rows):
        return [rows, *self.others]


def test_one_device_by_default():
    distribution = make_distribution("auto")
    assert (distribution.strategy, distribution.replicas, distribution.worker, distribution.workers) == (None, 1, 0, 1)
    assert distribution.is_chief and distribution.agree(True) and not distribution.agree(False)
    assert distribution.worker_batch(7) == 7


def test_a_batch_that_replicas_cannot_share_equally_is_refused():
    distribution = Distribution()
    distribution.replicas, distribution.workers = 4, 2
    assert distribution.worker_batch(12) == 6
    with pytest.raises(UserError, match="split equally among 4 replicas; 10 is not a multiple of 4"):
        distribution.worker_batch(10)


@pytest.mark.parametrize("rows", [24, 25, 29, 35, 5, 2])
def test_rows_of_all_workers_come_back_in_file_order(rows):
    file, size = np.arange(2 * rows, dtype=np.float32).reshape(-1, 2), 4
    batches = [[], [], []]
    for start in range(0, rows, 3 * size):
        batch = file[start : start + 3 * size]
        for worker in range(3):
            batches[worker].append(batch[len(batch) * worker // 3 : len(batch) * (worker + 1) // 3])
    distribution = ThreeWorkers([np.concatenate(parts) for parts in batches[1:]])
    np.testing.assert_array_equal(distribution.in_file_order(batches[0]), file)


def test_without_a_strategy_sums_are_the_tensors_themselves():
    x, y = tf.constant([1.0, 2.0]), tf.constant(3.0)
    assert replicas.count() == 1
    assert replicas.global_sum(x) is x and replicas.global_min(x) is x
    assert replicas.global_sums(x, y) == (x, y)
    np.testing.assert_array_equal(replicas.of_all(x), [[1.0, 2.0]])


def test_all_replicas_learn_when_one_is_asked_to_stop():
    distribution = Distribution()
    assert int(distribution.stop_asked({})) == 0 and not distribution.stop_asked_anywhere()
    distribution.stop_flag.assign(1)
    assert int(distribution.stop_asked({})) == 1 and distribution.stop_asked_anywhere()
    # With several replicas the logs decide, whatever this process was asked.
    assert int(distribution.stop_asked({STOP: tf.constant(0, tf.int64)})) == 0
    assert distribution.told_by_all("a topic", "text") == [("this process", "text")]
