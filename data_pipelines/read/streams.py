"""tf.data graphs from block records to batches of rows; nothing here runs Python per batch.

Rows are already shuffled on disk. An epoch shuffles them again in memory, by seed alone: the order of files,
the order of blocks within a buffer, and the rows within windows of several blocks. Moving blocks instead of
rows keeps the rate at millions of rows a second; every random draw is stateless in (seed, epoch, position),
so a stream does not depend on threads or on TensorFlow's global seed and can start anywhere.

Legend: B batch, C columns of ids, N fields with values. `inputs` are ids int32 [B, C], or, if there are values,
{"ids": ids, "values": float32 [B, N]}. Where rows have weights, batches are (inputs, label, weight float32 [B]).
"""

import dataclasses
import math
from collections.abc import Sequence

import tensorflow as tf

from data_pipelines.errors import UserError
from data_pipelines.read.inputs import Inputs, make_inputs

CYCLE_FILES = 8
"""Files read in turn. It affects the order of rows, so it is a constant that does not depend on the cores."""
WINDOW_ROWS = 32_768
"""Rows permuted together, at least one block."""
BUFFER_WINDOWS = 8
"""Windows whose blocks are shuffled together before they are cut into windows."""
PARALLEL_FILES = CYCLE_FILES
"""Files open at the same time; it does not affect the order."""
Rows = tuple[Inputs, tf.Tensor] | tuple[Inputs, tf.Tensor, tf.Tensor]
_plain = tf.autograph.experimental.do_not_convert
"""No function here has Python control flow over tensors, and converting them would take most of the set-up time."""


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
class Worker:
    """Which rows of each global batch a stream delivers: [floor(index n / count), floor((index + 1) n / count)) of n.

    Attributes:
        index: the worker's number, from 0.
        count: number of workers; a whole global batch has count B rows, B for each worker.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        """Raises UserError if there is no such worker."""
        if not 0 <= self.index < self.count:
            raise UserError(f"worker should be 0 to workers - 1, got worker {self.index} of workers {self.count}")


@dataclasses.dataclass(frozen=True)
class BlockFiles:
    """The record files of a split.

    Attributes:
        paths: record files, in order.
        num_columns: C.
        block_rows: rows of a full block.
        num_values: N.
        part: the rows of each block to deliver.
        has_weight: whether rows have weights.
    """

    paths: Sequence[str]
    num_columns: int
    block_rows: int
    num_values: int = 0
    part: Part = Part()
    has_weight: bool = False

    @property
    def window_blocks(self) -> int:
        """Number of blocks permuted together."""
        return max(1, WINDOW_ROWS // self.block_rows)


def in_order(files: BlockFiles, batch_size: int, worker: Worker = Worker()) -> tf.data.Dataset:
    """One pass in file order: (inputs, label float32 [B]); the last batch may be shorter.

    Args:
        files: the record files.
        batch_size: B.
        worker: the worker whose rows of each batch of `worker.count` B rows are delivered.
    """
    blocks = tf.data.TFRecordDataset(list(files.paths)).batch(files.window_blocks)
    rows = blocks.map(_plain(lambda serialized: decode(serialized, files)), tf.data.AUTOTUNE, deterministic=True)
    return _batches(rows, batch_size, worker, endless=False)


def shuffled(
    files: BlockFiles,
    batch_size: int,
    seed: int,
    stream: int,
    first_epoch: int = 0,
    skip_rows: int = 0,
    epochs: int | None = None,
    worker: Worker = Worker(),
) -> tf.data.Dataset:
    """Passes over the split, each in a new order: (inputs, label float32 [B]).

    Args:
        files: the record files.
        batch_size: B.
        seed: fixes the order, together with `stream` and the epoch's number.
        stream: distinguishes streams with the same seed (training, gate).
        first_epoch: number of the epoch to start with.
        skip_rows: rows of that epoch to skip.
        epochs: the number of the epoch to stop before; the last batch may then be shorter. None is endless: all
            batches have exactly B rows and run across epoch ends.
        worker: the worker whose rows of each batch of `worker.count` B rows are delivered.
    """
    numbers = tf.data.Dataset.counter(first_epoch) if epochs is None else tf.data.Dataset.range(first_epoch, epochs)

    @_plain
    def epoch_windows(epoch: tf.Tensor) -> tf.data.Dataset:
        return _epoch_windows(files, _fold(tf.constant([seed, stream], tf.int64), epoch))

    @_plain
    def permuted(serialized: tf.Tensor, key: tf.Tensor) -> Rows:
        rows = decode(serialized, files)
        order = tf.random.experimental.stateless_shuffle(tf.range(tf.shape(rows[1])[0]), key)
        return tf.nest.map_structure(lambda x: tf.gather(x, order), rows)

    rows = numbers.flat_map(epoch_windows).map(permuted, tf.data.AUTOTUNE, deterministic=True)
    if skip_rows:
        rows = rows.scan(tf.constant(skip_rows, tf.int64), _plain(_drop_rows))
    return _batches(rows, batch_size, worker, endless=epochs is None)


def decode(serialized: tf.Tensor, files: BlockFiles) -> Rows:
    """Rows of several serialized blocks: string [blocks] -> (inputs of n rows, label float32 [n][, weight [n]]).

    Other features of a block are skipped. Raises InvalidArgumentError if the features differ in length.
    """
    # Bytes per row of each feature.
    widths = {"ids": 4 * files.num_columns, "label": 1} | ({"values": 4 * files.num_values} if files.num_values else {})
    widths |= {"weight": 4} if files.has_weight else {}
    block = tf.io.parse_example(serialized, dict.fromkeys(widths, tf.io.FixedLenFeature([], tf.string)))
    if files.part != Part():
        # Cut the bytes, before decoding.
        rows = tf.strings.length(block["label"])
        start = _floor_share(files.part.start, rows)
        length = _floor_share(files.part.end, rows) - start
        block = {name: tf.strings.substr(block[name], start * w, length * w) for name, w in widths.items()}
    # Joined before decoding: decode_raw needs strings of equal length, and last blocks are shorter.
    block = {name: tf.strings.reduce_join(text) for name, text in block.items()}
    label = tf.io.decode_raw(block["label"], tf.uint8)
    rows = tf.shape(label)[0]
    ids = tf.io.decode_raw(block["ids"], tf.int32, little_endian=True)
    ids, values = tf.reshape(ids, [rows, files.num_columns]), None
    if files.num_values:
        values = tf.io.decode_raw(block["values"], tf.float32, little_endian=True)
        values = tf.reshape(values, [rows, files.num_values])
    found = make_inputs(ids, values), tf.cast(label, tf.float32)
    if not files.has_weight:
        return found
    weight = tf.io.decode_raw(block["weight"], tf.float32, little_endian=True)
    return *found, tf.reshape(weight, [rows])


def _epoch_windows(files: BlockFiles, key: tf.Tensor) -> tf.data.Dataset:
    """Shuffled windows of one epoch: (serialized blocks [w], key [2] of their rows' permutation)."""
    paths = tf.random.experimental.stateless_shuffle(tf.constant(list(files.paths)), _fold(key, 0))
    blocks = tf.data.Dataset.from_tensor_slices(paths).interleave(
        tf.data.TFRecordDataset,
        cycle_length=CYCLE_FILES,
        block_length=1,
        num_parallel_calls=min(PARALLEL_FILES, len(files.paths)),
        deterministic=True,
    )
    buffers = blocks.batch(BUFFER_WINDOWS * files.window_blocks).enumerate()
    shuffle = tf.random.experimental.stateless_shuffle
    buffers = buffers.map(_plain(lambda i, serialized: shuffle(serialized, _fold(_fold(key, 1), i))))
    windows = buffers.rebatch(files.window_blocks).enumerate()
    return windows.map(_plain(lambda i, serialized: (serialized, _fold(_fold(key, 2), i))))


def _fold(key: tf.Tensor, number: tf.Tensor | int) -> tf.Tensor:
    return tf.random.experimental.stateless_fold_in(key, tf.cast(number, tf.int64))


def _floor_share(share: float, rows: tf.Tensor) -> tf.Tensor:
    # float64, as in Python's own arithmetic, so that `Part.rows` gives the same count.
    return tf.cast(tf.floor(tf.constant(share, tf.float64) * tf.cast(rows, tf.float64)), tf.int32)


def _drop_rows(left: tf.Tensor, rows: Rows) -> tuple[tf.Tensor, Rows]:
    dropped = tf.minimum(left, tf.size(rows[1], tf.int64))
    return left - dropped, tf.nest.map_structure(lambda x: x[dropped:], rows)


def _batches(rows: tf.data.Dataset, batch_size: int, worker: Worker, endless: bool) -> tf.data.Dataset:
    rows = rows.filter(_plain(lambda inputs, label, *weight: tf.size(label) > 0))
    batches = rows.rebatch(batch_size * worker.count, drop_remainder=endless)
    if worker.count > 1:
        batches = batches.map(_plain(lambda *batch: _rows_of(worker, batch, batch_size if endless else None)))
    options = tf.data.Options()
    options.deterministic = True
    return batches.with_options(options).prefetch(tf.data.AUTOTUNE)


def _rows_of(worker: Worker, batch: Rows, size: int | None) -> Rows:
    rows = tf.size(batch[1], tf.int64)
    start, end = (rows * index // worker.count for index in (worker.index, worker.index + 1))
    # Keeps the static number of rows if it is known.
    return tf.nest.map_structure(lambda x: tf.ensure_shape(x[start:end], [size, *x.shape[1:]]), batch)
