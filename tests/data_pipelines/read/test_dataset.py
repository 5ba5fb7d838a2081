import shutil

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from data_pipelines.checksums import Checksums
from data_pipelines.errors import UserError
from data_pipelines.read import streams
from data_pipelines.read.dataset import open_data, pair


@pytest.fixture(scope="module")
def data(prepared_criteo):
    return open_data(prepared_criteo)


def _take(dataset, batches):
    got = list(dataset.take(batches).as_numpy_iterator())
    return np.concatenate([ids for ids, _ in got]), np.concatenate([label for _, label in got])


def _keys(ids, labels):
    """Rows as sortable bytes."""
    rows = np.concatenate([ids, labels[:, None].astype(np.int32)], axis=1)
    return [row.tobytes() for row in rows]


def _all(data, split, share=0.0):
    return _take(data.evaluation(split, 1000, share), -1)


def test_evaluation_reads_every_row_once_in_file_order(data):
    ids, labels = _all(data, "train")
    assert ids.dtype == np.int32 and labels.dtype == np.float32
    assert ids.shape == (data.rows["train"], 39) and labels.sum() == data.positives["train"]
    for field, column in zip(data.schema.fields, ids.T, strict=True):
        assert field.offset <= column.min() and column.max() < field.offset + field.size
    sizes = [len(label) for _, label in data.evaluation("train", 300)]
    assert sizes == [300] * 7 + [len(labels) - 2100] == [300] * 7 + [sizes[-1]]
    assert data.evaluation("train", 300).cardinality() == len(sizes)


def test_tfds_reads_the_same_rows(data):
    builder = tfds.builder_from_directory(str(data.path))
    assert builder.info.name == "criteo"
    for split in ("train", "validation", "test"):
        blocks = list(tfds.as_numpy(builder.as_dataset(split=split, shuffle_files=False)))
        assert len(blocks) == builder.info.splits[split].num_examples
        ids, labels = _all(data, split)
        np.testing.assert_array_equal(np.concatenate([block["ids"] for block in blocks]), ids)
        np.testing.assert_array_equal(np.concatenate([block["label"] for block in blocks]), labels)


def test_an_epoch_has_every_row_once_in_an_order_of_its_own(data):
    rows = data.rows["train"]
    ids, labels = _take(data.train(100, seed=3), -(-3 * rows // 100))
    in_file = _keys(*_all(data, "train"))
    epochs = [_keys(ids[e * rows : (e + 1) * rows], labels[e * rows : (e + 1) * rows]) for e in range(3)]
    assert epochs[0] != in_file and sorted(epochs[0]) == sorted(in_file)
    assert epochs[1] != epochs[0] and sorted(epochs[1]) == sorted(in_file)
    assert epochs[2] != epochs[1] and sorted(epochs[2]) == sorted(in_file)
    other, _ = _take(data.train(100, seed=4), 1)
    assert (other != ids[:100]).any()


def test_batches_are_static_and_run_across_epochs(data):
    stream = data.train(700)
    assert stream.element_spec[0].shape == (700, 39) and stream.element_spec[1].shape == (700,)
    assert stream.cardinality() == tf.data.INFINITE_CARDINALITY
    assert all(len(label) == 700 for _, label in stream.take(10))


def test_finite_epochs_keep_the_last_batch(data):
    rows = data.rows["train"]
    stream = data.train(700, epochs=2)
    sizes = [len(label) for _, label in stream]
    assert sum(sizes) == 2 * rows and sizes[:-1] == [700] * (len(sizes) - 1)
    assert stream.cardinality() == len(sizes)
    assert len(list(data.train(700, epochs=2, start_row=2 * rows))) == 0


def test_the_order_ignores_tensorflows_global_seed(data):
    tf.random.set_seed(1)
    first, _ = _take(data.train(100, seed=3), 3)
    tf.random.set_seed(2)
    second, _ = _take(data.train(100, seed=3), 3)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("batches_done", [1, 7, 20, 21, 43, 50])
def test_a_resumed_stream_goes_on_exactly(data, batches_done):
    whole, labels = _take(data.train(101, seed=5, gate_share=0.1), 60)
    rest = data.train(101, seed=5, gate_share=0.1, start_row=batches_done * 101)
    resumed, resumed_labels = _take(rest, 60 - batches_done)
    np.testing.assert_array_equal(resumed, whole[batches_done * 101 :])
    np.testing.assert_array_equal(resumed_labels, labels[batches_done * 101 :])


@pytest.mark.parametrize("source", ["train", "validation"])
def test_a_resumed_gate_stream_goes_on_exactly(data, source):
    whole, _ = _take(data.gate(50, seed=5, source=source), 30)
    resumed, _ = _take(data.gate(50, seed=5, source=source, start_row=650), 17)
    np.testing.assert_array_equal(resumed, whole[650:])


def test_finite_epochs_resume(data):
    whole, _ = _take(data.train(101, seed=5, epochs=2), -1)
    resumed, _ = _take(data.train(101, seed=5, epochs=2, start_row=333), -1)
    np.testing.assert_array_equal(resumed, whole[333:])


@pytest.mark.parametrize("source, share", [("train", 0.1), ("train", 0.37), ("validation", 0.5)])
def test_gate_rows_and_the_others_partition_the_split(data, source, share):
    gate_rows = data.part_rows(source, 0.0, share)
    other_rows = data.part_rows(source, share)
    # A block's share is rounded down; blocks have 128 rows here.
    assert gate_rows == pytest.approx(share * data.rows[source], rel=0.08)
    gate_ids, gate_labels = _take(data.gate(1, source=source, share=share), gate_rows)
    if source == "train":
        other = _take(data.train(64, gate_share=share, epochs=1), -1)
    else:
        other = _all(data, source, share)
    assert len(gate_ids) == gate_rows and len(other[0]) == other_rows
    assert sorted(_keys(gate_ids, gate_labels) + _keys(*other)) == sorted(_keys(*_all(data, source)))


def test_pairs_for_bilevel_training(data):
    pairs = pair(data.train(32, seed=1, gate_share=0.1), data.gate(32, seed=1), weight_steps=3)
    first, second = pairs.take(2)
    assert first["train"][0].shape == (3, 32, 39) and first["train"][1].shape == (3, 32)
    assert first["gate"][0].shape == (32, 39) and first["gate"][1].shape == (32,)
    assert pairs.element_spec["train"][0].shape == (3, 32, 39)
    straight, _ = _take(data.train(32, seed=1, gate_share=0.1), 6)
    got = np.concatenate([first["train"][0].numpy(), second["train"][0].numpy()]).reshape(-1, 39)
    np.testing.assert_array_equal(got, straight)


def test_small_windows_and_buffers_change_the_order_alone(data, monkeypatch):
    monkeypatch.setattr(streams, "WINDOW_ROWS", 256)
    monkeypatch.setattr(streams, "BUFFER_WINDOWS", 2)
    whole = _take(data.train(101, seed=5), 60)[0]
    np.testing.assert_array_equal(_take(data.train(101, seed=5, start_row=2525), 35)[0], whole[2525:])
    rows = _take(data.train(64, epochs=1), -1)
    assert sorted(_keys(*rows)) == sorted(_keys(*_all(data, "train")))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda d: d.train(0), "batch size"),
        (lambda d: d.train(8, start_row=-1), "start row"),
        (lambda d: d.train(8, gate_share=1.0), "gate share"),
        (lambda d: d.gate(8, share=0.001), "use another gate share"),
        (lambda d: d.gate(8, source="test"), "train or validation, got 'test'"),
        (lambda d: d.evaluation("dev", 8), "unknown split 'dev'"),
        (lambda d: pair(d.train(8), d.gate(8), 0), "weight steps"),
    ],
)
def test_bad_arguments(data, call, message):
    with pytest.raises(UserError, match=message):
        call(data)


@pytest.fixture
def copy(prepared_criteo, tmp_path):
    shutil.copytree(prepared_criteo, tmp_path / "criteo")
    return tmp_path / "criteo"


@pytest.mark.parametrize(
    "name",
    [
        "schema.json",
        "dataset_info.json",
        "features.json",
        "vocabulary/C3.txt",
        "criteo-test.tfrecord-00000-of-00001",
    ],
)
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(UserError, match=f"{name}.*prepare the data again"):
        open_data(copy)


@pytest.mark.parametrize("name", ["vocabulary/C3.txt", "criteo-train.tfrecord-00000-of-00002"])
def test_a_truncated_file_is_named(copy, name):
    path = copy / name
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UserError, match=f"{name}: ([0-9]+ bytes instead of [0-9]+|damaged).*prepare the data again"):
        open_data(copy)


def test_directories_that_are_not_prepared(copy, tmp_path):
    with pytest.raises(UserError, match="no such directory"):
        open_data(tmp_path / "none")
    with pytest.raises(UserError, match="not a prepared data directory"):
        open_data(tmp_path)
    schema = (copy / "schema.json").read_text()
    (copy / "schema.json").write_text(schema.replace('"label": "label"', '"label": "click"'))
    with pytest.raises(UserError, match="schema.json: damaged: its SHA-256 is not the one in SHA256SUMS; .*prepare"):
        open_data(copy)
    Checksums(copy).add(["schema.json"])
    with pytest.raises(UserError, match="schema.json: not the schema of this preparation"):
        open_data(copy)
    (copy / "SHA256SUMS").unlink()
    with pytest.raises(UserError, match="SHA256SUMS: file not found: an older version made this directory.*prepare"):
        open_data(copy)


def test_a_flipped_bit_names_the_file(copy):
    path = copy / "criteo-train.tfrecord-00001-of-00002"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    data = open_data(copy)
    for dataset in (data.evaluation("train", 64), data.train(64, epochs=1)):
        with pytest.raises(UserError, match="criteo-train.tfrecord-00001-of-00002: damaged"), data.reading():
            for _ in dataset:
                pass
