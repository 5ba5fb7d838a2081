"""tf.data graphs from block records to batches of rows; nothing here runs Python per batch.

Rows are already shuffled on disk. An epoch shuffles them again in memory, by seed alone: the order of files,
the order of blocks within a buffer, and the rows within windows of several blocks. Moving blocks instead of
rows keeps the rate at millions of rows a second; every random draw is stateless in (seed, epoch, position),
so a stream does not depend on threads or on TensorFlow's global seed and can start anywhere.

Legend: B batch, F fields.
"""

import dataclasses
import math
from collections.abc import Sequence

import tensorflow as tf

CYCLE_FILES = 8
"""Files read in turn. Part of the order of rows, hence a constant and not a matter of the machine's cores."""
WINDOW_ROWS = 32_768
"""Rows permuted together, at least one block."""
BUFFER_WINDOWS = 8
"""Windows whose blocks are shuffled together before they are cut into windows."""


@dataclasses.dataclass(frozen=True)
class Part:
    """Which rows of every block a stream delivers: [floor(start * n), floor(end * n)) of a block of n rows.

    Rows are shuffled on disk, so a share of each block is a random share of the split.
    """

    start: float = 0.0
    end: float = 1.0

    def rows(self, block_rows: int) -> int:
        """Rows that the part takes from a block of `block_rows`."""
        return math.floor(self.end * block_rows) - math.floor(self.start * block_rows)


@dataclasses.dataclass(frozen=True)
class BlockFiles:
    """The record files of a split.

    Attributes:
        paths: record files, in order.
        num_fields: F.
        block_rows: rows of a full block.
        part: the rows of each block to deliver.
    """

    paths: Sequence[str]
    num_fields: int
    block_rows: int
    part: Part = Part()

    @property
    def window_blocks(self) -> int:
        """Blocks permuted together."""
        return max(1, WINDOW_ROWS // self.block_rows)


def in_order(files: BlockFiles, batch_size: int) -> tf.data.Dataset:
    """One pass in file order: (ids int32 [B, F], label float32 [B]); the last batch may be shorter."""
    blocks = tf.data.TFRecordDataset(list(files.paths)).batch(files.window_blocks)
    rows = blocks.map(lambda serialized: decode(serialized, files), tf.data.AUTOTUNE, deterministic=True)
    return _finish(_batches(rows, batch_size, endless=False))


def shuffled(
    files: BlockFiles,
    batch_size: int,
    seed: int,
    stream: int,
    first_epoch: int = 0,
    skip_rows: int = 0,
    epochs: int | None = None,
) -> tf.data.Dataset:
    """Passes in a new order each: (ids int32 [B, F], label float32 [B]).

    Args:
        files: the record files.
        batch_size: B.
        seed: with `stream` and the epoch's number it fixes the order.
        stream: tells streams of one seed apart (training, gate).
        first_epoch: number of the epoch to start in.
        skip_rows: rows of that epoch to leave out.
        epochs: the number of the epoch to end before, with a last batch that may be shorter; None is endless,
            with batches of exactly B rows that run across epoch ends.
    """
    numbers = tf.data.Dataset.counter(first_epoch) if epochs is None else tf.data.Dataset.range(first_epoch, epochs)
    windows = numbers.flat_map(lambda epoch: _epoch_windows(files, _fold(tf.constant([seed, stream], tf.int64), epoch)))

    def permuted(serialized: tf.Tensor, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        ids, label = decode(serialized, files)
        order = tf.random.experimental.stateless_shuffle(tf.range(tf.shape(label)[0]), key)
        return tf.gather(ids, order), tf.gather(label, order)

    rows = windows.map(permuted, tf.data.AUTOTUNE, deterministic=True)
    if skip_rows:
        rows = rows.scan(tf.constant(skip_rows, tf.int64), _drop_rows).filter(lambda ids, label: tf.size(label) > 0)
    return _finish(_batches(rows, batch_size, endless=epochs is None))


def decode(serialized: tf.Tensor, files: BlockFiles) -> tuple[tf.Tensor, tf.Tensor]:
    """Rows of several serialized blocks: string [blocks] -> (ids int32 [n, F], label float32 [n]).

    Other features of a block are skipped. Raises InvalidArgumentError where ids and labels differ in length.
    """
    text = tf.io.FixedLenFeature([], tf.string)
    block = tf.io.parse_example(serialized, {"ids": text, "label": text})
    ids, label = block["ids"], block["label"]
    if files.part != Part():
        # Cut the bytes, before decoding: a block's label is one byte a row, its ids 4 F bytes a row.
        rows = tf.strings.length(label)
        start = _floor_share(files.part.start, rows)
        length = _floor_share(files.part.end, rows) - start
        width = 4 * files.num_fields
        ids, label = (
            tf.strings.substr(ids, start * width, length * width),
            tf.strings.substr(label, start, length),
        )
    # Joined before decoding, because decode_raw wants texts of one length and last blocks are shorter.
    label = tf.io.decode_raw(tf.strings.reduce_join(label), tf.uint8)
    ids = tf.io.decode_raw(tf.strings.reduce_join(ids), tf.int32, little_endian=True)
    return tf.reshape(ids, [tf.shape(label)[0], files.num_fields]), tf.cast(label, tf.float32)


def _epoch_windows(files: BlockFiles, key: tf.Tensor) -> tf.data.Dataset:
    """Shuffled windows of one epoch: (serialized blocks [w], key [2] of their rows' permutation)."""
    paths = tf.random.experimental.stateless_shuffle(tf.constant(list(files.paths)), _fold(key, 0))
    blocks = tf.data.Dataset.from_tensor_slices(paths).interleave(
        tf.data.TFRecordDataset,
        cycle_length=CYCLE_FILES,
        block_length=1,
        num_parallel_calls=min(CYCLE_FILES, len(files.paths)),
        deterministic=True,
    )
    buffers = blocks.batch(BUFFER_WINDOWS * files.window_blocks).enumerate()
    shuffle = tf.random.experimental.stateless_shuffle
    buffers = buffers.map(lambda i, serialized: shuffle(serialized, _fold(_fold(key, 1), i)))
    windows = buffers.rebatch(files.window_blocks).enumerate()
    return windows.map(lambda i, serialized: (serialized, _fold(_fold(key, 2), i)))


def _fold(key: tf.Tensor, number: tf.Tensor | int) -> tf.Tensor:
    return tf.random.experimental.stateless_fold_in(key, tf.cast(number, tf.int64))


def _floor_share(share: float, rows: tf.Tensor) -> tf.Tensor:
    # float64 like Python's own arithmetic, so that `Part.rows` counts the same.
    return tf.cast(tf.floor(tf.constant(share, tf.float64) * tf.cast(rows, tf.float64)), tf.int32)


def _drop_rows(left: tf.Tensor, rows: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
    ids, label = rows
    dropped = tf.minimum(left, tf.size(label, tf.int64))
    return left - dropped, (ids[dropped:], label[dropped:])


def _batches(rows: tf.data.Dataset, batch_size: int, endless: bool) -> tf.data.Dataset:
    rows = rows.filter(lambda ids, label: tf.size(label) > 0)
    return rows.rebatch(batch_size, drop_remainder=endless)


def _finish(batches: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    return batches.with_options(options).prefetch(tf.data.AUTOTUNE)
