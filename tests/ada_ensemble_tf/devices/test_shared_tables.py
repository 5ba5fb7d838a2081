"""Tables that four devices share beside one that a single device has; `tests/shared_tables_run.py` checks them."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from command_line import start_forked

from ada_ensemble_tf.devices.mesh import Mesh
from ada_ensemble_tf.devices.placement import FieldTable, Piece, Placement, place
from ada_ensemble_tf.devices.sharding import Sharding, shard_of_table, sharded_tables
from ada_ensemble_tf.devices.table_layout import TableLayout
from experiments.measuring.worker_processes import free_ports

CUT = Placement(
    (FieldTable(3), FieldTable(2, columns=2)), 4, 2, (Piece(0, 0, 4, 0), Piece(1, 0, 2, 0), Piece(1, 2, 2, 1))
)
"""The first field whole on device 0, the second, of two ids, in two slices."""


def checked_by(folder: Path, clusters: Sequence[str | None]) -> list[list[str]]:
    """What processes say that they have checked, one for each TF_CONFIG."""
    script = ("tests/shared_tables_run.py", str(folder / "checkpoints"))
    processes = [start_forked(*script, **({"TF_CONFIG": one} if one else {})) for one in clusters]
    try:
        codes = [process.wait(600) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, code in zip(processes, codes, strict=True):
        assert code == 0, process.err[-4000:]
    return [process.out.splitlines() for process in processes]


@pytest.fixture(scope="module")
def checked(tmp_path_factory) -> list[str]:
    """What a process with four devices has checked."""
    return checked_by(tmp_path_factory.mktemp("shared"), [None])[0]


@pytest.mark.parametrize("optimizer", ["group_ftrl", "sparse_adam", "ftrl", "sparse_adagrad", "grda"])
def test_every_optimizer_trains_a_shared_table_as_one_device_trains_it(checked, optimizer):
    assert f"trained {optimizer}" in checked


@pytest.mark.parametrize("what", ["norms", "rounded exchange", "inference", "checkpoints"])
def test_what_else_reads_a_shared_table_finds_that_of_one_device(checked, what):
    assert what in checked


def test_workers_that_share_a_table_train_and_save_it_as_one_device(tmp_path):
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    tasks = [{"type": "worker", "index": i} for i in (0, 1)]
    found = checked_by(tmp_path, [json.dumps({"cluster": cluster, "task": task}) for task in tasks])
    assert found == [["trained group_ftrl", "norms", "inference", "checkpoints"]] * 2


def test_rows_of_a_layout_by_hand():
    layout = TableLayout(CUT, offsets=(0, 3))
    # In units of two columns: device 0 has row 0, three levels of two units, and two levels of one.
    assert (layout.unit, layout.slices, layout.rows, layout.units, layout.columns) == (2, 2, 1 + 6 + 2, 3, 3)
    assert [layout.rows_of(piece) for piece in CUT.pieces] == [slice(1, 7), slice(7, 9), slice(1, 3)]
    # Lookups of device 0: both units of the first field, then one unit of the second for each of its ids.
    np.testing.assert_array_equal(layout.entry_column[0], [0, 0, 1, 2])
    np.testing.assert_array_equal(layout.entry_unit, [[0, 1, 2, 2], [0, 0, -1, -1]])
    np.testing.assert_array_equal(layout.entry_real.sum(axis=1), [4, 2])
    ids = np.array([2, 4, 3])
    rows = layout.entry_factor * ids[layout.entry_column] + layout.entry_base
    np.testing.assert_array_equal(rows[0], [1 + 2 * 2, 1 + 2 * 2 + 1, 7 + 1, 7])
    np.testing.assert_array_equal(rows[1, :2], [1 + 1, 1])
    # A row's embedding: two units of device 0, its third, and the first of device 1.
    np.testing.assert_array_equal(layout.place_of_unit, [0, 1, 2, 3])
    np.testing.assert_array_equal(layout.field_base, [[[1, 2], [7, -1]], [[-1, -1], [-1, 1]]])
    np.testing.assert_array_equal(layout.field_factor, [2, 1])


@pytest.mark.parametrize("devices", [2, 3, 8])
def test_every_number_of_a_table_has_one_place(devices):
    tables = [FieldTable(5), FieldTable(70, columns=2), FieldTable(1), FieldTable(9)]
    layout = TableLayout(place(tables, 6, devices), offsets=(0, 5, 75, 76))
    held = [np.zeros(layout.rows, int) for _ in range(devices)]
    for piece in layout.placement.pieces:
        held[piece.device][layout.rows_of(piece)] += 1
    assert all(of_device.max() == 1 and of_device[0] == 0 for of_device in held)
    assert sum(map(np.sum, held)) * layout.unit == 85 * 6
    assert sorted(layout.place_of_unit) == sorted(set(layout.place_of_unit))


def test_tables_of_other_rows_stay_whole():
    sharding = Sharding(Mesh(), [3, 4], [1, 2])
    with sharded_tables(sharding):
        assert shard_of_table("crosses", 100, [1, 2], 4) is None
        assert shard_of_table("one_value", 7, [1, 1], 4) is None
        assert shard_of_table("embedding", 7, [1, 2], 4).logical_shape == (7, 4)
    assert list(sharding.placements) == ["embedding"]
    assert shard_of_table("embedding", 7, [1, 2], 4) is None
