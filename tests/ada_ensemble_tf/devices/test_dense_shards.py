"""Layers that four devices share beside replicated ones; `tests/dense_shards_run.py` checks them."""

import numpy as np
import pytest
from command_line import run_forked

from ada_ensemble_tf.devices.dense_shards import DenseShards
from ada_ensemble_tf.devices.mesh import Mesh


@pytest.fixture(scope="module")
def checked(tmp_path_factory) -> list[str]:
    """What a process with four devices has checked."""
    return run_forked("tests/dense_shards_run.py", str(tmp_path_factory.mktemp("dense"))).splitlines()


def test_an_optimizer_with_initial_state_trains_a_sharded_layer_as_a_whole_one(checked):
    assert "optimizer ftrl" in checked


def test_a_sharded_model_trains_as_on_one_device(checked):
    assert "trained hsdp with tables in columns" in checked


def test_devices_send_what_the_formulas_say(checked):
    assert "bytes" in checked


def test_what_sharded_devices_save_is_read_by_one_device_and_the_other_way(checked):
    assert "checkpoints" in checked


@pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 3, 5), (1, 1, 4)])
@pytest.mark.parametrize("parts", [1, 2, 3, 4])
def test_blocks_cover_a_weight_once_in_its_flat_order(shape, parts, monkeypatch):
    monkeypatch.setattr(Mesh, "size", lambda mesh, group: parts)
    shards = DenseShards(Mesh(), "world", shape)
    flat = np.arange(shards.elements)
    whole = flat.reshape(shape)
    for rank in range(parts):
        monkeypatch.setattr(shards, "rank", lambda local, rank=rank: rank)
        found = []
        for block in shards.blocks(0):
            part = whole[tuple(slice(b, b + n) for b, n in zip(block.begin, block.size, strict=True))]
            assert part.ravel()[0] == block.start and part.shape == block.size
            found.extend(part.ravel())
        assert found == list(flat[rank * shards.size : (rank + 1) * shards.size])
