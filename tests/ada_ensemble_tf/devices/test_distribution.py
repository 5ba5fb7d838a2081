"""Tests of `training.distribution`; with several replicas see `test_workers.py`."""

import json

import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.devices import replicas
from ada_ensemble_tf.devices.distribution import Distribution, make_distribution
from data_pipelines.errors import UserError


class ThreeWorkers(Distribution):
    """Worker 0 of three, which has already been told what the others hold."""

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


def test_what_does_not_divide_is_refused():
    distribution = Distribution()
    distribution.replicas, distribution.workers = 4, 2
    assert distribution.worker_batch(12) == 6
    with pytest.raises(UserError, match="each of the 4 replicas has an equal part; 10 is no multiple of 4"):
        distribution.worker_batch(10)


def test_wrong_strategies(monkeypatch):
    with pytest.raises(UserError, match="config.strategy must be one of auto, none, mirrored; received 'mirorred'"):
        make_distribution("mirorred")
    with pytest.raises(UserError, match="'mirrored' needs two or more devices; there is /device:CPU:0 alone"):
        make_distribution("mirrored")
    cluster = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    with pytest.raises(UserError, match="config.strategy='none' is of one machine, but TF_CONFIG names 2 workers"):
        make_distribution("none")


@pytest.mark.parametrize("rows", [24, 25, 29, 35, 5, 2])
def test_rows_of_workers_come_back_in_the_order_of_the_file(rows):
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
