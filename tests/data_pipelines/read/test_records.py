import numpy as np
import pytest
import tensorflow as tf

from data_pipelines.read.records import example, row_dtype, write_shard


def _rows(count, values):
    rng = np.random.default_rng(count)
    rows = np.empty(count, row_dtype(3, values))
    rows["ids"] = rng.integers(0, 2**31, (count, 3))
    rows["label"] = rng.integers(0, 2, count)
    if values:
        rows["values"] = rng.normal(size=(count, values))
    return rows


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 1400, 200_000])
@pytest.mark.parametrize("values", [0, 2])
def test_an_example_is_what_tensorflow_would_write(count, values):
    # The counts are on both sides of where a length takes one byte more.
    rows = _rows(count, values)
    features = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[rows[name].tobytes()])) for name in rows.dtype.names
    }
    expected = tf.train.Example(features=tf.train.Features(feature=features))
    assert example(rows) == expected.SerializeToString(deterministic=True)


def test_a_shard_is_the_file_that_tensorflow_would_write(tmp_path):
    rows = _rows(1000, 2)
    shard = write_shard(tmp_path / "a", rows, 128)
    with tf.io.TFRecordWriter(str(tmp_path / "b")) as writer:
        for start in range(0, 1000, 128):
            writer.write(example(rows[start : start + 128]))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (shard.rows, shard.blocks, shard.size) == (1000, 8, (tmp_path / "a").stat().st_size)
    assert len(list(tf.data.TFRecordDataset([str(tmp_path / "a")]))) == 8  # checksums are compared
