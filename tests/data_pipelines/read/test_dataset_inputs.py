"""Reading ids of several columns together with floats."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from prepared_rows import BLOCK_ROWS, write_rows

from data_pipelines.read.dataset import pair
from data_pipelines.read.records import row_dtype, write_shard

ROWS = {"train": 500, "validation": 90, "test": 33}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("values"), ROWS, files=3)


@pytest.fixture(scope="module")
def data(prepared):
    return prepared[0]


def read(dataset) -> dict[str, np.ndarray]:
    """All rows of (inputs, label) batches with values."""
    batches = list(dataset.as_numpy_iterator())
    columns = {name: np.concatenate([inputs[name] for inputs, _ in batches]) for name in ("ids", "values")}
    return columns | {"label": np.concatenate([label for _, label in batches])}


def check_together(rows: dict[str, np.ndarray]) -> None:
    """That values and labels are those of the row that the first id names."""
    numbers = rows["ids"][:, 0]
    np.testing.assert_array_equal(rows["values"], numbers[:, None] * np.array([0.5, -2.0], np.float32))
    np.testing.assert_array_equal(rows["label"], numbers % 2)


def test_evaluation_gives_what_was_written(prepared):
    data, written = prepared
    for split in ROWS:
        rows = read(data.evaluation(split, 64))
        for name in ("ids", "values", "label"):
            np.testing.assert_array_equal(rows[name], written[split][name])
        assert (rows["ids"] == -1).any()
    inputs, label = data.evaluation("test", 64).element_spec
    assert inputs["ids"] == tf.TensorSpec([None, 6], tf.int32)
    assert inputs["values"] == tf.TensorSpec([None, 2], tf.float32) and label == tf.TensorSpec([None], tf.float32)


def test_several_columns_without_values_are_one_tensor(tmp_path):
    data, written = write_rows(tmp_path, ROWS, files=2, with_values=False)
    assert data.train(32).element_spec[0] == tf.TensorSpec([32, 4], tf.int32)
    ids = np.concatenate([ids for ids, _ in data.evaluation("train", 64).as_numpy_iterator()])
    np.testing.assert_array_equal(ids, written["train"]["ids"])


def test_an_epoch_keeps_rows_together(data):
    stream = data.train(64, seed=2, epochs=2)
    rows = read(stream)
    check_together(rows)
    first, second = rows["ids"][:500, 0], rows["ids"][500:, 0]
    assert sorted(first) == sorted(second) == list(range(500))
    assert (first != second).any() and (first != np.arange(500)).any()
    assert data.train(64).element_spec[0]["values"] == tf.TensorSpec([64, 2], tf.float32)


@pytest.mark.parametrize("start_row", [64, 320, 640])
def test_a_resumed_stream_goes_on_exactly(data, start_row):
    whole = read(data.train(64, seed=2, gate_share=0.2).take(14))
    rest = read(data.train(64, seed=2, gate_share=0.2, start_row=start_row).take(14 - start_row // 64))
    for name in whole:
        np.testing.assert_array_equal(rest[name], whole[name][start_row:])


def test_gate_rows_and_the_others_partition_the_split(data):
    gate_rows = data.part_rows("train", 0.0, 0.3)
    gate = read(data.gate(1, share=0.3).take(gate_rows))
    others = read(data.train(64, gate_share=0.3, epochs=1))
    check_together(gate)
    check_together(others)
    # Blocks have 32 rows, except for the last of a file; the gates get 9 of them.
    assert gate_rows == pytest.approx(0.3 * 500, rel=0.1)
    assert sorted([*gate["ids"][:, 0], *others["ids"][:, 0]]) == list(range(500))


def test_pairs_for_bilevel_training(data):
    pairs = pair(data.train(16, seed=1, gate_share=0.1), data.gate(16, seed=1), weight_steps=3)
    inputs, label = next(iter(pairs))["train"]
    assert inputs["ids"].shape == (3, 16, 6) and inputs["values"].shape == (3, 16, 2) and label.shape == (3, 16)
    assert pairs.element_spec["gate"][0]["values"] == tf.TensorSpec([16, 2], tf.float32)
    straight = read(data.train(16, seed=1, gate_share=0.1).take(3))
    np.testing.assert_array_equal(inputs["values"].numpy().reshape(48, 2), straight["values"])


def test_tfds_reads_the_same_rows(prepared):
    data, written = prepared
    blocks = list(tfds.as_numpy(tfds.builder_from_directory(str(data.path)).as_dataset(split="train")))
    for name in ("ids", "values", "label"):
        read_by_tfds = np.concatenate([block[name] for block in blocks])
        assert read_by_tfds.dtype == written["train"][name].dtype
        np.testing.assert_array_equal(read_by_tfds, written["train"][name])


def test_missing_values_are_damage(tmp_path):
    data, _ = write_rows(tmp_path, ROWS, files=3)
    assert data.find_damage() is None
    shard = data.preparation.shards["validation"][1]
    rows = np.zeros(shard.rows, row_dtype(6, 1))
    write_shard(tmp_path / shard.file, rows, BLOCK_ROWS)
    assert f"{shard.file}: damaged record file" in data.find_damage()
