"""Tests of `devices.mesh` and `devices.collective_watch`; `tests/mesh_run.py` runs the replicas."""

import json

import numpy as np
import pytest
import tensorflow as tf
from command_line import run_forked, start_forked
from mesh_run import DEVICES, GROUPS, HOSTS, LOOPS, OPERATIONS, rows

from ada_ensemble_tf.devices.mesh import Mesh
from experiments.measuring.worker_processes import free_ports

MEMBERS = {"world": [[0, 1, 2, 3]], "host": [[0, 1], [2, 3]], "slot": [[0, 2], [1, 3]]}
"""The replicas of each group, of 2 hosts with 2 devices each."""


@pytest.fixture(scope="module")
def exchanged(tmp_path_factory) -> dict[str, np.ndarray]:
    """What four replicas compute together."""
    out = tmp_path_factory.mktemp("mesh") / "out.npz"
    run_forked("tests/mesh_run.py", str(out))
    return dict(np.load(out))


def expected(name: str, x: list[np.ndarray]) -> list[np.ndarray]:
    """What each member of a group gets from an operation on the members' x, `[G, ..]` each."""
    if name == "all_gather":
        return [np.concatenate(x)] * len(x)
    if name == "reduce_scatter":
        return list(sum(x)[:, None])
    if name == "all_to_all":
        return [np.stack([other[i] for other in x]) for i in range(len(x))]
    return [sum(x)] * len(x)


def adjoint(name: str, weights: list[np.ndarray]) -> list[np.ndarray]:
    """The derivative of the sum of weights * results with respect to each member's x."""
    size = len(weights)
    if name == "all_gather":
        return list(sum(weights).reshape(size, -1, *weights[0].shape[1:]))
    if name == "reduce_scatter":
        return [np.concatenate(weights)] * size
    if name == "all_to_all":
        return [np.stack([other[i] for other in weights]) for i in range(size)]
    return [sum(weights)] * size


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("group", GROUPS)
def test_values_and_gradients_are_those_of_numpy(exchanged, name, group):
    x, weights = rows(group, len(MEMBERS[group][0]))
    # The loop runs the operation on 1 x, 2 x, 3 x and adds up; the gradients add up likewise.
    factor = sum(range(1, LOOPS + 1))
    for members in MEMBERS[group]:
        values = expected(name, [x[r] for r in members])
        factors = [weights[r][: y.size].reshape(y.shape) for r, y in zip(members, values, strict=True)]
        for r, y, dx in zip(members, values, adjoint(name, factors), strict=True):
            np.testing.assert_allclose(exchanged[f"{name}_{group}"][r], factor * y, rtol=1e-5, atol=1e-5)
            found = exchanged[f"gradient_{name}_{group}"][r]
            np.testing.assert_allclose(found, factor * dx.reshape(found.shape), rtol=1e-5, atol=1e-5)


def test_bfloat16_is_gathered_bit_by_bit(exchanged):
    x = tf.cast(tf.cast(rows("host", DEVICES)[0], tf.bfloat16), tf.float32).numpy()
    np.testing.assert_array_equal(exchanged["narrow"][3], LOOPS * np.concatenate([x[2], x[3]]))


def test_a_replica_that_stays_away_ends_the_collective_with_its_name(exchanged):
    assert str(exchanged["inside_before"]) == "None"
    message = str(exchanged["left_alone"])
    assert "did not finish in 1 s: another replica is gone, or did not call it" in message
    assert str(exchanged["inside_after"]).startswith("mesh_slot_all_reduce_")
    assert str(exchanged["inside_after"]) in message


def test_a_worker_that_is_gone_ends_the_collective_with_its_name(tmp_path):
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    cluster = {"cluster": {"worker": addresses}}
    tasks = [json.dumps(cluster | {"task": {"type": "worker", "index": i}}) for i in (0, 1)]
    workers = [start_forked("tests/mesh_run.py", f"{tmp_path}/{i}.json", "5", TF_CONFIG=tasks[i]) for i in (0, 1)]
    assert [worker.wait(300) for worker in workers] == [0, 0], workers[0].err[-4000:]
    told = json.loads((tmp_path / "0.json").read_text())
    assert told["first"] == [[1.0] * 3] * 2
    assert "mesh_world_all_reduce_" in told["message"]


def test_a_mesh_of_one_replica_exchanges_nothing():
    mesh, x = Mesh(), tf.ones([1, 2])
    assert all(getattr(mesh, name)(x, group) is x for name in OPERATIONS for group in GROUPS)
    assert (mesh.replica(), mesh.hosts, mesh.devices, mesh.rank("slot"), mesh.waits_in()) == (0, 1, 1, 0, None)


def test_wrong_use():
    with pytest.raises(ValueError, match="hosts must divide the number of replicas, 1; received 2"):
        Mesh(hosts=2)
    mesh = Mesh()
    with pytest.raises(ValueError, match="group must be world, host or slot; received 'rack'"):
        mesh.rank("rack")
    mesh.replicas = mesh.devices = 2
    with pytest.raises(ValueError, match="a collective of 2 replicas was called outside of them"):
        mesh.all_reduce(tf.ones([2]))
    with pytest.raises(ValueError, match=r"the first dimension must be 2; received shape \(3,\)"):
        mesh.all_to_all(tf.ones([3]))
    with pytest.raises(ValueError, match=r"the first dimension must be a multiple of 2; received shape \(\)"):
        mesh.reduce_scatter(tf.constant(1.0))
    with pytest.raises(ValueError, match=r"must not be empty; received shape \(2, 0\)"):
        mesh.all_to_all(tf.ones([2, 0]))
    with mesh.on_replica(0), pytest.raises(ValueError, match="call it within a tf.function"):
        mesh.all_gather(tf.ones([2]))
    assert HOSTS * DEVICES == 4
