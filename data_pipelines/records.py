"""Block records: the files of prepared rows.

A TFRecord record is one tf.Example that holds a block of rows as raw little-endian bytes, declared to
TensorFlow Datasets as tensors with bytes encoding, so that `tfds.builder_from_directory` reads the folder
too. Readers take the features they know by name.

Legend: C columns of ids, N fields with values, n rows of a block.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from data_pipelines.preparation import Shard

if TYPE_CHECKING:
    # Imported where records are written: it takes seconds, and bad input should be reported without it.
    import tensorflow as tf

    from data_pipelines.vocabulary import Vocabularies


def row_dtype(num_columns: int, num_values: int = 0) -> np.dtype:
    """A prepared row as a NumPy record: ids int32 [C], values float32 [N] where there are any, label uint8."""
    values = [("values", "<f4", (num_values,))] if num_values else []
    return np.dtype([("ids", "<i4", (num_columns,)), *values, ("label", "u1")])


def encoded_rows(
    vocabularies: "Vocabularies", columns: pa.RecordBatch, label: np.ndarray, dtype: np.dtype
) -> np.ndarray:
    """Rows of `row_dtype` [n] of raw columns and labels [n]."""
    rows = np.empty(len(label), dtype)
    rows["ids"] = vocabularies.encode(columns)
    if vocabularies.schema.value_fields:
        rows["values"] = vocabularies.values(columns)
    rows["label"] = label
    return rows


def import_tensorflow() -> None:
    """Imports what writing needs, for those who would rather wait now than later.

    Not TensorFlow Datasets: it replaces `__import__` while it is imported, which other threads must not meet.
    """
    import tensorflow  # noqa: F401


def shard_name(dataset: str, split: str, shard: int, shards: int) -> str:
    """A record file's name by the convention of TensorFlow Datasets."""
    return f"{dataset}-{split}.tfrecord-{shard:05d}-of-{shards:05d}"


def write_shard(path: Path, rows: np.ndarray, block_rows: int) -> Shard:
    """Writes rows [n] (of `row_dtype`) as one record file; the last block may be shorter.

    Raises:
        tf.errors.OpError: writing failed, for example on a full disk.
    """
    import tensorflow as tf

    blocks = range(0, len(rows), block_rows)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for start in blocks:
            writer.write(_example(rows[start : start + block_rows]).SerializeToString(deterministic=True))
    return Shard(path.name, len(rows), len(blocks), path.stat().st_size)


def write_tfds_metadata(
    data_dir: Path, dataset: str, num_columns: int, num_values: int, shards: Mapping[str, Sequence[Shard]]
) -> None:
    """Writes dataset_info.json and features.json beside the record files."""
    import tensorflow_datasets as tfds

    template = tfds.core.ShardedFileTemplate(
        data_dir=data_dir, template="{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}", dataset_name=dataset
    ).replace(filetype_suffix="tfrecord")
    infos = [
        tfds.core.SplitInfo(
            name=split,
            shard_lengths=[shard.blocks for shard in files],
            num_bytes=sum(shard.size for shard in files),
            filename_template=template.replace(split=split),
        )
        for split, files in shards.items()
    ]
    as_bytes = tfds.features.Encoding.BYTES
    features = {
        "ids": tfds.features.Tensor(shape=(None, num_columns), dtype=np.int32, encoding=as_bytes),
        "label": tfds.features.Tensor(shape=(None,), dtype=np.uint8, encoding=as_bytes),
    }
    if num_values:
        features["values"] = tfds.features.Tensor(shape=(None, num_values), dtype=np.float32, encoding=as_bytes)
    tfds.folder_dataset.write_metadata(
        data_dir=data_dir,
        features=tfds.features.FeaturesDict(features),
        split_infos=infos,
        filename_template=template,
        check_data=False,
    )


def _example(rows: np.ndarray) -> "tf.train.Example":
    import tensorflow as tf

    features = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[rows[name].tobytes()])) for name in rows.dtype.names
    }
    return tf.train.Example(features=tf.train.Features(feature=features))
