"""Tests of `devices.cluster`."""

import json
import socket

import pytest

from ada_ensemble_tf.devices.cluster import Cluster, read_cluster
from data_pipelines.errors import UserError
from experiments.measuring.worker_processes import free_ports

WORKERS = ["a:1", "b:2"]


def config(**changes) -> str:
    """A correct TF_CONFIG of two workers, except for `changes`."""
    return json.dumps({"cluster": {"worker": WORKERS}, "task": {"type": "worker", "index": 1}} | changes)


def test_tf_config_gives_the_workers_and_the_index_of_this_one(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config())
    assert read_cluster() == Cluster(("a:1", "b:2"), 1)
    monkeypatch.setenv("TF_CONFIG", config(task={"type": "worker", "index": "0"}))
    assert read_cluster() == Cluster(("a:1", "b:2"), 0)


def test_a_chief_comes_before_the_workers(monkeypatch):
    cluster = {"worker": WORKERS, "chief": ["c:3"]}
    for kind, index, place in (("chief", 0, 0), ("worker", 0, 1), ("worker", 1, 2)):
        monkeypatch.setenv("TF_CONFIG", config(cluster=cluster, task={"type": kind, "index": index}))
        assert read_cluster() == Cluster(("c:3", "a:1", "b:2"), place)


@pytest.mark.parametrize("text", ["", " ", "{}", '{"cluster": {}}'])
def test_tf_config_without_a_cluster_gives_none(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    assert read_cluster() is None


def test_a_single_worker_is_not_a_cluster(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config(cluster={"worker": ["a:1"]}, task={"type": "worker", "index": 0}))
    assert read_cluster() is None


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "is not JSON"),
        ("[]", 'must be an object whose "cluster" maps "worker"'),
        (config(cluster=["a:1"]), 'must be an object whose "cluster" maps "worker"'),
        (config(cluster={"worker": WORKERS, "ps": ["c:3"]}), "received 'ps'"),
        (config(cluster={"worker": "a:1"}), "cluster.worker must be a list of host:port; received 'a:1'"),
        (config(cluster={"worker": []}), "cluster.worker must be a list of host:port; received []"),
        (config(cluster={"worker": ["a:1", "b"]}), "received 'b'"),
        (config(cluster={"worker": ["a:1", "b:x"]}), "received 'b:x'"),
        (config(cluster={"worker": ["a:1", ":2"]}), "received ':2'"),
        (config(cluster={"worker": ["a:1", "a:1"]}), "each host:port once; received a:1, a:1"),
        (config(cluster={"worker": WORKERS, "chief": ["c:1", "d:1"]}), "cluster.chief must be a single address"),
        (config(task={"type": "worker"}), '"task" must have "type" and "index"; received {\'type\': \'worker\'}'),
        (config(task=None), "received None"),
        (
            config(task={"type": "chief", "index": 0}),
            "task.type must be one of worker, the cluster's types; received 'chief'",
        ),
        (config(task={"type": "worker", "index": 2}), "task.index must lie in 0 to 1, for worker; received 2"),
        (config(task={"type": "worker", "index": -1}), "received -1"),
        (config(task={"type": "worker", "index": "one"}), "received 'one'"),
    ],
)
def test_errors_name_what_is_wrong_in_tf_config(monkeypatch, text, what):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError) as error:
        read_cluster()
    assert what in str(error.value) and str(error.value).startswith("the environment variable TF_CONFIG ")


def test_workers_wait_for_each_other_by_name():
    with socket.create_server(("127.0.0.1", 0)) as there, socket.create_server(("127.0.0.1", 0)) as taken:
        ports = [there.getsockname()[1], *free_ports(2), taken.getsockname()[1]]
        addresses = tuple(f"127.0.0.1:{port}" for port in ports)
        Cluster(addresses[:2], 1).wait_for_all(30.0)
        with pytest.raises(UserError) as error:
            Cluster(addresses[:3], 1).wait_for_all(0.1)
        missing = f"worker 1 of 3 ({addresses[1]}) waited 0.1 s for worker 2 of 3 ({addresses[2]}): start the"
        assert str(error.value).startswith(missing)
        with pytest.raises(UserError, match=f"cannot listen at {addresses[3]}, which TF_CONFIG gives worker 3: is the"):
            Cluster(addresses, 3).wait_for_all(0.1)
