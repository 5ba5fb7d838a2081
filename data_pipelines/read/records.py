"""Block records: the files of prepared rows.

A TFRecord record is one tf.Example that holds a block of rows as raw little-endian bytes, declared to
TensorFlow Datasets as tensors with bytes encoding, so that `tfds.builder_from_directory` can also
read the folder. Readers pick the features they know by name.

Legend: C columns of ids, N fields with values, n rows of a block.
"""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

import google_crc32c
import numpy as np
import pyarrow as pa

from data_pipelines.read.preparation import Shard

if TYPE_CHECKING:
    from data_pipelines.fields.schema import Schema
    from data_pipelines.fields.vocabulary import Vocabularies


def row_dtype(num_columns: int, num_values: int = 0, has_weight: bool = False) -> np.dtype:
    """A row as a NumPy record: ids int32 [C], label uint8; where there are any, values float32 [N], weight float32."""
    values = [("values", "<f4", (num_values,))] if num_values else []
    return np.dtype([("ids", "<i4", (num_columns,)), *values, ("label", "u1"), *[("weight", "<f4")] * has_weight])


def schema_dtype(schema: "Schema") -> np.dtype:
    """`row_dtype` of a schema's rows."""
    return row_dtype(sum(schema.widths), len(schema.value_fields), schema.has_weight)


def encoded_rows(
    vocabularies: "Vocabularies",
    columns: pa.RecordBatch,
    label: np.ndarray,
    dtype: np.dtype,
    weight: np.ndarray | None = None,
) -> np.ndarray:
    """Rows of `row_dtype` [n] of raw columns, labels [n] and, if rows have them, weights [n]."""
    rows = np.empty(len(label), dtype)
    rows["ids"] = vocabularies.encode(columns)
    if vocabularies.schema.value_fields:
        rows["values"] = vocabularies.values(columns)
    rows["label"] = label
    if weight is not None:
        rows["weight"] = weight
    return rows


def shard_name(dataset: str, split: str, shard: int, shards: int) -> str:
    """A record file's name by the convention of TensorFlow Datasets."""
    return f"{dataset}-{split}.tfrecord-{shard:05d}-of-{shards:05d}"


def write_shard(path: Path, rows: np.ndarray, block_rows: int) -> Shard:
    """Writes rows [n] (of `row_dtype`) as one record file; the last block may be shorter.

    Raises:
        OSError: writing failed, for example on a full disk.
    """
    with path.open("wb") as file:
        write_blocks(file, rows, block_rows)
    return Shard(path.name, len(rows), -(-len(rows) // block_rows), path.stat().st_size)


def write_blocks(file: IO[bytes], rows: np.ndarray, block_rows: int) -> None:
    """Writes rows [n] (of `row_dtype`) as records, one block per record."""
    for start in range(0, len(rows), block_rows):
        write_record(file, example(rows[start : start + block_rows]))


def write_tfds_metadata(
    data_dir: Path,
    dataset: str,
    num_columns: int,
    num_values: int,
    shards: Mapping[str, Sequence[Shard]],
    has_weight: bool = False,
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
    if has_weight:
        features["weight"] = tfds.features.Tensor(shape=(None,), dtype=np.float32, encoding=as_bytes)
    tfds.folder_dataset.write_metadata(
        data_dir=data_dir,
        features=tfds.features.FeaturesDict(features),
        split_infos=infos,
        filename_template=template,
        check_data=False,
    )


def write_record(file: IO[bytes], data: bytes) -> None:
    """Appends a TFRecord: the length, its checksum, the data and their checksum.

    These few lines implement the format here because importing TensorFlow takes seconds and 400 MB, more than
    everything else that preparing a small log needs.
    """
    length = struct.pack("<Q", len(data))
    file.write(length + _checksum(length))
    file.write(data)
    file.write(_checksum(data))


def damaged_record(data: bytes) -> int | None:
    """The position in a TFRecord file's bytes where the first record with a wrong checksum begins, or None.

    A last record that is cut off does not count: a process that was killed leaves one.
    """
    start = 0
    while start + 12 <= len(data):
        length = data[start : start + 8]
        if data[start + 8 : start + 12] != _checksum(length):
            return start
        end = start + 12 + struct.unpack("<Q", length)[0]
        if end + 4 > len(data):
            return None
        if data[end : end + 4] != _checksum(data[start + 12 : end]):
            return start
        start = end + 4
    return None


def example(rows: np.ndarray) -> bytes:
    """Rows [n] as a serialized tf.Example: for each of their names, in order, a list of one byte string."""
    # The nesting of messages in example.proto: Example { Features { map entry { key, Feature { BytesList } } } }.
    entries = [
        _message(1, _message(1, name.encode()), _message(2, _message(1, _message(1, rows[name].tobytes()))))
        for name in sorted(rows.dtype.names or ())
    ]
    return _message(1, *entries)


def _message(field: int, *parts: bytes) -> bytes:
    """A length-delimited field of a protocol buffer."""
    data = b"".join(parts)
    length, varint = len(data), bytearray()
    while length >= 0x80:
        varint.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([field << 3 | 2, *varint, length]) + data


def _checksum(data: bytes) -> bytes:
    """CRC-32C as TFRecord files mask it."""
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
