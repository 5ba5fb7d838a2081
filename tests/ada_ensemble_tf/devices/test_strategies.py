"""Tests of `devices.strategies`."""

import json

import pytest

from ada_ensemble_tf.devices.strategies import check_same_software, make_distribution
from data_pipelines.errors import UserError

CLUSTER = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}
FACTS = {"TensorFlow": "2.21.0", "Keras": "3.12.0", "devices": "2 GPU"}


def test_wrong_strategies(monkeypatch):
    with pytest.raises(UserError, match="config.strategy must be one of auto, none, mirrored; received 'mirorred'"):
        make_distribution("mirorred")
    with pytest.raises(UserError, match="'mirrored' needs two or more devices; there is only /device:CPU:0"):
        make_distribution("mirrored")
    monkeypatch.setenv("TF_CONFIG", json.dumps(CLUSTER))
    with pytest.raises(UserError, match="config.strategy='none' trains on one machine, but TF_CONFIG names 2 workers"):
        make_distribution("none")


def test_workers_with_the_same_software_are_accepted():
    check_same_software([("worker 0 of 2 (a:1)", FACTS), ("worker 1 of 2 (b:1)", dict(FACTS))])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"TensorFlow": "2.20.0"}, "c:1) has TensorFlow 2.20.0, worker 0 (a:1) has 2.21.0: all workers need the same"),
        ({"Keras": "3.11.0"}, "c:1) has Keras 3.11.0, worker 0 (a:1) has 3.12.0: all workers need the same"),
        ({"devices": "CPU"}, "c:1) trains on CPU, worker 0 (a:1) on 2 GPU: all workers need the same devices"),
        ({"devices": "1 GPU"}, "c:1) trains on 1 GPU, worker 0 (a:1) on 2 GPU"),
    ],
)
def test_a_worker_with_another_version_or_other_devices_is_refused(other, message):
    told = [("worker 0 (a:1)", FACTS), ("worker 1 (b:1)", FACTS), ("worker 2 (c:1)", FACTS | other)]
    with pytest.raises(UserError) as error:
        check_same_software(told)
    assert str(error.value).startswith("worker 2 (") and message in str(error.value)
