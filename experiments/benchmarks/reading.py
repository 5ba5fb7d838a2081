"""Rows per second of shuffled reading: prepared blocks compared with one tf.Example per row, on the same rows.

    .venv/bin/python -m experiments.benchmarks.reading [--rows=2000000] [--repeats=5] [--batch_size=4096]

Both deliver the training split of synthetic Criteo rows in batches, shuffled, one epoch long:

* blocks: `open_data(...).train(batch_size, seed, epochs=1)`, what training reads.
* per row: the usual way, tuned as usual. One tf.Example per row with an int64 feature per field and the label, in 4
  files; parallel interleave in any order, a shuffle buffer of 100,000 rows, batches, `tf.io.parse_example` on whole
  batches, prefetch. Its batches stay a dictionary of columns; stacking them into one tensor of ids would only cost
  more.

An epoch is timed from the first to the last row, counted inside TensorFlow without a Python loop; tracing the pipeline,
which a training run does once, is not included. One untimed epoch of each fills the page cache and checks that both
deliver the same rows (number, clicks, sum of ids). Then both take turns, so that a machine that slows down slows both.
Bytes per row are those of the record files. Below a million rows or so, filling buffers takes much of an epoch.

Data stays in --workdir by the number of rows, and later runs use it again.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import tensorflow as tf
from absl import flags

from data_pipelines.errors import UserError, run_main
from data_pipelines.read.dataset import PreparedData
from experiments.measuring import made_once, verdict
from experiments.measuring.prepared_rows import prepared

EXAMPLE_FILES = 4
SHUFFLE_ROWS = 100_000
TARGET_ROWS_PER_SECOND = 2_000_000
TARGET_RATIO = 5


def main(argv: Sequence[str]) -> None:
    """Makes the data if it is missing, and prints each epoch's rate, the medians and the verdict."""
    del argv
    rows, batch_size = flags.FLAGS.rows, flags.FLAGS.batch_size
    workdir = Path(flags.FLAGS.workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    data = prepared(workdir, rows)
    example_dir = workdir / f"{rows}_examples"
    if not example_dir.is_dir():
        print(f"{example_dir}: writing {data.rows['train']:,} rows, a tf.Example each", flush=True)
        with made_once(example_dir) as directory:
            _write_examples(data, directory)
    examples = sorted(example_dir.iterdir())
    names = [field.name for field in data.schema.fields]
    pipelines: dict[str, Callable[[int], tf.data.Dataset]] = {
        "blocks": lambda seed: data.train(batch_size, seed, epochs=1),
        "per row": lambda seed: read_examples(examples, names, batch_size, seed),
    }
    totals = [_totals(make(0)) for make in pipelines.values()]
    if totals[0] != totals[1]:
        raise UserError(
            f"{example_dir}: holds other rows than the prepared data: (rows, clicks, sum of ids) {totals[1]} "
            f"instead of {totals[0]}; delete it and run again"
        )
    rates: dict[str, list[float]] = {name: [] for name in pipelines}
    for repeat in range(1, flags.FLAGS.repeats + 1):
        for name, make in pipelines.items():
            batches = make(repeat)
            start = time.perf_counter()
            read = _count(batches)
            rates[name].append(read / (time.perf_counter() - start))
        print(f"repeat {repeat}:", *(f"{name} {rates[name][-1]:12,.0f} rows/s" for name in pipelines), flush=True)
    _report(rates, data, examples)


def read_examples(files: Sequence[Path], names: Sequence[str], batch_size: int, seed: int) -> tf.data.Dataset:
    """One shuffled epoch of the per-row files: ({field: int64 [B]}, label int64 [B])."""
    features = {name: tf.io.FixedLenFeature([], tf.int64) for name in (*names, "label")}

    def parse(serialized: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        columns = tf.io.parse_example(serialized, features)
        label = columns.pop("label")
        return columns, label

    rows = tf.data.Dataset.from_tensor_slices([str(file) for file in files]).interleave(
        tf.data.TFRecordDataset, cycle_length=len(files), num_parallel_calls=tf.data.AUTOTUNE, deterministic=False
    )
    batches = rows.shuffle(SHUFFLE_ROWS, seed=seed).batch(batch_size)
    return batches.map(parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=False).prefetch(tf.data.AUTOTUNE)


def _write_examples(data: PreparedData, directory: Path) -> None:
    """Writes the training split, one tf.Example per row, to the files in turn."""
    names = [field.name for field in data.schema.fields]
    paths = [str(directory / f"train.tfrecord-{i:05d}-of-{EXAMPLE_FILES:05d}") for i in range(EXAMPLE_FILES)]
    writers = [tf.io.TFRecordWriter(path) for path in paths]
    row = 0
    for ids, labels in data.evaluation("train", 4096).as_numpy_iterator():
        for row_ids, label in zip(ids.tolist(), labels.tolist(), strict=True):
            example = tf.train.Example()
            feature = example.features.feature
            for name, value in zip(names, row_ids, strict=True):
                feature[name].int64_list.value.append(value)
            feature["label"].int64_list.value.append(int(label))
            writers[row % EXAMPLE_FILES].write(example.SerializeToString())
            row += 1
    for writer in writers:
        writer.close()


def _count(batches: tf.data.Dataset) -> int:
    """The number of rows in a whole pass."""

    def add(rows: tf.Tensor, batch: tuple) -> tf.Tensor:
        _, label = batch
        return rows + tf.size(label, tf.int64)

    return int(batches.reduce(tf.constant(0, tf.int64), add))


def _totals(batches: tf.data.Dataset) -> tuple[int, int, int]:
    """Rows, clicks and the sum of all ids of a whole pass."""

    def add(sums: tf.Tensor, batch: tuple) -> tf.Tensor:
        ids, label = batch
        id_sum = tf.add_n([tf.reduce_sum(tf.cast(column, tf.int64)) for column in tf.nest.flatten(ids)])
        return sums + tf.stack([tf.size(label, tf.int64), tf.reduce_sum(tf.cast(label, tf.int64)), id_sum])

    rows, clicks, ids = batches.reduce(tf.zeros(3, tf.int64), add).numpy().tolist()
    return rows, clicks, ids


def _report(rates: dict[str, list[float]], data: PreparedData, examples: Sequence[Path]) -> None:
    blocks, per_row = (statistics.median(rates[name]) for name in ("blocks", "per row"))
    rows, ratio = data.rows["train"], blocks / per_row
    shards = [data.path / shard.file for shard in data.preparation.shards["train"]]
    print(f"median:   blocks {blocks:12,.0f} rows/s, per row {per_row:12,.0f} rows/s, ratio {ratio:.1f}")
    for name, files in (("blocks", shards), ("per row", examples)):
        print(f"on disk:  {name} {sum(file.stat().st_size for file in files) / rows:.1f} bytes per row")
    target = f">= {TARGET_ROWS_PER_SECOND:,} rows/s"
    print(verdict(target, blocks >= TARGET_ROWS_PER_SECOND, f"{blocks:,.0f}"))
    print(verdict(f">= {TARGET_RATIO} times the per-row pipeline", ratio >= TARGET_RATIO, f"{ratio:.1f}"))


if __name__ == "__main__":
    # Defined here, so that importing this module does not add flags to other commands.
    flags.DEFINE_integer("rows", 2_000_000, "Synthetic rows; 70 % of them are the training split.", lower_bound=1)
    flags.DEFINE_string("workdir", "runs/benchmarks/reading", "Where data is made, kept and used again.")
    flags.DEFINE_integer("repeats", 5, "Timed epochs of each pipeline.", lower_bound=1)
    flags.DEFINE_integer("batch_size", 4096, "Rows of a batch.", lower_bound=1)
    run_main(main)
