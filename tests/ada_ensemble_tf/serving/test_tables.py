import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.models import DCNV2
from ada_ensemble_tf.serving.tables import Storage, StoredTable, StoredTables

TABLE = np.array([[1.0, -2.0, 3.0], [0.0, 0.0, 0.0], [0.5, 0.0, 1 / 3], [0.0, 0.0, 0.0], [0.0, 0.0, 1e-3]], np.float32)


@pytest.mark.parametrize("dtype, error", [("float32", 0.0), ("bfloat16", 2.0**-8), ("float16", 2.0**-11)])
@pytest.mark.parametrize("prune", [False, True])
def test_rows_are_read_as_float32(dtype, error, prune):
    # Twenty more rows of zeros: leaving them out then saves space.
    table = np.concatenate([TABLE, np.zeros((20, 3), np.float32)])
    stored = StoredTable(table, Storage(dtype, prune))
    ids = np.array([[0, 4], [2, 1], [24, 0]])
    rows = tf.gather(stored, ids)
    assert rows.dtype == tf.float32 and rows.shape == (3, 2, 3)
    np.testing.assert_allclose(rows, table[ids], rtol=error)
    # Three rows that are not zero, and one of zeros for all others; of 25 rows of 6 bytes the map would take 100.
    assert stored.rows.shape == (4 if prune else 25, 3) and stored.rows.dtype == dtype
    assert stored.zeros == 22 and stored.dropped == (22 if prune else 0)


def test_a_table_is_cut_only_where_that_saves_space():
    narrow = StoredTable(TABLE[:, 2:], Storage(prune_zero_rows=True))
    assert narrow.dropped == 0 and narrow.zeros == 2 and narrow.places is None and narrow.rows.shape == (5, 1)
    # 25 rows of 12 bytes are 300; four rows and a map of 4 bytes a row 148.
    wide = StoredTable(np.concatenate([TABLE, np.zeros((20, 3), np.float32)]), Storage(prune_zero_rows=True))
    assert wide.dropped == 22 and wide.rows.shape == (4, 3)
    assert wide.places.numpy()[:5].tolist() == [1, 0, 2, 0, 3]


@pytest.mark.parametrize("storage", [Storage("bfloat16"), Storage("float32", True), Storage("float16", True)])
def test_a_model_reads_its_stored_tables_and_takes_on_their_values(storage):
    model = DCNV2(num_rows=200, num_fields=2, dimension=4, num_layers=1, hidden_units=(4,))
    table = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    table[20:] = 0.0
    model.embedding.table.assign(table)
    tables = StoredTables(model, storage)
    rounded = model.embedding.table.numpy()
    assert np.abs(rounded - table).max() == 0.0 if storage.weights == "float32" else np.any(rounded != table)
    ids = tf.constant([[3, 15], [0, 199], [40, 19]])
    expected = model(ids).numpy()
    # From here on only the stored tables have the values.
    model.embedding.table.assign(tf.zeros_like(table))
    with tables.in_use():
        np.testing.assert_allclose(tf.sigmoid(model.forward(ids).logit), expected, rtol=1e-6)
    assert np.abs(model(ids).numpy() - expected).max() > 1e-4
    # The step counter has eight bytes.
    assert tables.others(model) == [] and tables.constant_bytes == 4 * (model.count_params() - 801) + 8
    assert tables.dropped == (180 if storage.prune_zero_rows else 0)


def test_plain_storage_leaves_the_model_alone():
    model = DCNV2(num_rows=5, num_fields=2, dimension=2, num_layers=1, hidden_units=(2,))
    tables = StoredTables(model, Storage())
    assert len(tables.tables) == 0 and [v.shape for v in tables.others(model)] == [(5, 2)]


def test_small_variables_are_constants_and_large_ones_are_not(monkeypatch):
    model = DCNV2(num_rows=5, num_fields=2, dimension=2, num_layers=1, hidden_units=(7,))
    monkeypatch.setattr("ada_ensemble_tf.serving.tables.LARGEST_CONSTANT", 16)
    tables = StoredTables(model, Storage())
    # The cross's kernel has 16 elements, the dense layer's 28.
    assert sorted(tuple(v.shape) for v in tables.others(model)) == [(4, 7), (5, 2)]
    ids = tf.constant([[0, 4], [3, 1]])
    expected = model(ids).numpy()
    for v in model.variables:
        if v.shape == (4, 4):
            v.assign(tf.zeros([4, 4]))
    with tables.in_use():
        np.testing.assert_allclose(tf.sigmoid(model.forward(ids).logit), expected, rtol=1e-6)
    assert np.abs(model(ids).numpy() - expected).max() > 0.0


def test_an_unknown_type_is_refused():
    with pytest.raises(ValueError, match="weights must be one of .*; received 'int8'"):
        Storage("int8")
