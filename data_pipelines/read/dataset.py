"""Prepared data as tf.data pipelines: training, gate and evaluation batches, and the bi-level pairing.

Legend: B batch, C columns of ids, N fields with values. `inputs` are ids int32 [B, C], or, if the schema has value
fields, {"ids": ids, "values": float32 [B, N]}. Where rows have weights, every (inputs, label) is (inputs, label, weight
float32 [B]), as Keras' `fit` takes them.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import tensorflow as tf

from data_pipelines.errors import UserError
from data_pipelines.fields.schema import Schema
from data_pipelines.read import streams
from data_pipelines.read.preparation import SPLITS, Preparation, Shard, load_complete
from data_pipelines.read.streams import BlockFiles, Part, Worker

GATE_SHARES = {"train": 0.1, "validation": 0.5}
"""Default share of a split that goes to the gate stream."""
_TRAIN_STREAM, _GATE_STREAM = 1, 2


@dataclasses.dataclass(frozen=True)
class PreparedData:
    """A complete prepared directory; made by `open_data`.

    Several workers all read the same stream in global batches of `workers` times B rows. Each delivers its own B rows
    of a global batch: worker 0 the first B, and so on. So the rows of a step over all workers are the batch that one
    process would read with the global batch size. A shorter last batch is cut into nearly equal parts. If it has fewer
    rows than there are workers, some get an empty batch, so that all run the same number of steps.

    Attributes:
        path: the directory.
        schema: its fields.
        preparation: how it was made.
    """

    path: Path
    schema: Schema
    preparation: Preparation

    @property
    def rows(self) -> dict[str, int]:
        """Rows by split: train, validation, test."""
        return self.preparation.rows

    @property
    def positives(self) -> dict[str, int]:
        """Rows with label 1 by split."""
        return self.preparation.positives

    @property
    def negative_rate(self) -> float:
        """Share of the training split's negatives that preparation kept."""
        return self.preparation.options.negative_rate

    @property
    def fingerprint(self) -> str:
        """16 hex digits that differ between prepared data sets (raw files, options, schema, rows)."""
        return self.preparation.fingerprint()

    def part_rows(self, split: str, start: float = 0.0, end: float = 1.0) -> int:
        """Rows of a split's part: [floor(start n), floor(end n)) of each block of n rows.

        `part_rows("train", gate_share)` is the length of an epoch of `train`, `part_rows("train", 0, share)`
        that of an epoch of `gate`.
        """
        block_rows, part = self.preparation.options.block_rows, Part(start, end)
        total = 0
        for shard in self._shards(split):
            full = shard.rows // block_rows
            total += full * part.rows(block_rows) + part.rows(shard.rows - full * block_rows)
        return total

    def train(
        self,
        batch_size: int,
        seed: int = 0,
        start_row: int = 0,
        gate_share: float = 0.0,
        epochs: int | None = None,
        worker: int = 0,
        workers: int = 1,
    ) -> tf.data.Dataset:
        """Training batches (inputs, label float32 [B]); every row once per epoch, each epoch in a new order.

        Args:
            batch_size: B, of each worker.
            seed: fixes the order of all epochs.
            start_row: rows already consumed, by all workers; the stream continues exactly where one from 0 would
                be. Whole epochs are skipped by arithmetic; rows of the current epoch are skipped by reading them.
            gate_share: leave out the rows that `gate(source="train", share=gate_share)` delivers.
            epochs: end after this many epochs (counted from row 0), with a last batch that may be shorter;
                None is endless, with exactly B rows a batch, running across epoch ends.
            worker: whose rows, from 0.
            workers: how many workers there are.

        Raises:
            UserError: an argument is out of range, or the part has no rows.
        """
        part, who = Part(gate_share, 1.0), Worker(worker, workers)
        return self._shuffled("train", part, batch_size, seed, _TRAIN_STREAM, start_row, epochs, who)

    def gate(
        self,
        batch_size: int,
        seed: int = 0,
        start_row: int = 0,
        source: str = "train",
        share: float | None = None,
        worker: int = 0,
        workers: int = 1,
    ) -> tf.data.Dataset:
        """Batches for the gate update (AdaEnsemble, arXiv 2301.08353, section 3.6): endless, as `train`.

        Args:
            batch_size: B, of each worker.
            seed: fixes the order of all epochs.
            start_row: rows already consumed, by all workers.
            source: "train" takes a share of the training split; `train(gate_share=share)` then leaves it out.
                "validation" takes a share of the validation split; `evaluation("validation", gate_share=share)`
                then leaves it out, so that early stopping reads rows the gates have not learned from.
            share: of the rows of `source`; None is 0.1 of "train" or 0.5 of "validation".
            worker: whose rows, from 0.
            workers: how many workers there are.

        Raises:
            UserError: an argument is out of range, or the part has no rows.
        """
        if source not in GATE_SHARES:
            raise UserError(f"gate source should be train or validation, got {source!r}")
        part, who = Part(0.0, GATE_SHARES[source] if share is None else share), Worker(worker, workers)
        return self._shuffled(source, part, batch_size, seed, _GATE_STREAM, start_row, None, who)

    def evaluation(
        self, split: str, batch_size: int, gate_share: float = 0.0, worker: int = 0, workers: int = 1
    ) -> tf.data.Dataset:
        """One pass over a split in file order: (inputs, label float32 [B]), the last batch shorter.

        Args:
            split: "train", "validation" or "test".
            batch_size: B, of each worker.
            gate_share: leave out the rows that `gate(source=split, share=gate_share)` delivers.
            worker: whose rows, from 0.
            workers: how many workers there are.

        Raises:
            UserError: an argument is out of range, or the part has no rows.
        """
        part, who = Part(gate_share, 1.0), Worker(worker, workers)
        rows = self._checked_rows(split, part, batch_size, 0)
        batches = streams.in_order(self._files(self._shards(split), part), batch_size, who)
        return batches.apply(tf.data.experimental.assert_cardinality(-(-rows // (batch_size * workers))))

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Wraps a loop over batches: damage found while reading becomes a UserError that names the file."""
        try:
            yield
        except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
            damage = self.find_damage()
            if damage is None:
                raise
            raise UserError(damage) from error

    def find_damage(self) -> str | None:
        """Reads all record files and checks their checksums; says what is wrong with the first bad one, or None."""
        for split in SPLITS:
            for shard in self._shards(split):
                path, problem = self.path / shard.file, None
                try:
                    batches = streams.in_order(self._files([shard], Part()), shard.rows)
                    rows = sum(int(label.shape[0]) for _, label, *_ in batches)
                    if rows != shard.rows:
                        problem = f"{rows} rows instead of {shard.rows}"
                except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
                    # TensorFlow puts the op's name before its message.
                    problem = error.message.split("\n")[0].split("}} ")[-1]
                if problem:
                    return f"{path}: damaged record file ({problem}); prepare the data again"
        return None

    def _shuffled(
        self,
        split: str,
        part: Part,
        batch_size: int,
        seed: int,
        stream: int,
        start_row: int,
        epochs: int | None,
        who: Worker,
    ) -> tf.data.Dataset:
        rows = self._checked_rows(split, part, batch_size, start_row)
        epoch, skip = divmod(start_row, rows)
        batches = streams.shuffled(
            self._files(self._shards(split), part), batch_size, seed, stream, epoch, skip, epochs, who
        )
        left = None if epochs is None else max(epochs * rows - start_row, 0)
        count = tf.data.INFINITE_CARDINALITY if left is None else -(-left // (batch_size * who.count))
        return batches.apply(tf.data.experimental.assert_cardinality(count))

    def _checked_rows(self, split: str, part: Part, batch_size: int, start_row: int) -> int:
        if batch_size < 1:
            raise UserError(f"batch size should be at least 1, got {batch_size}")
        if start_row < 0:
            raise UserError(f"start row should be at least 0, got {start_row}")
        if not 0 <= part.start < part.end <= 1:
            raise UserError(f"gate share should be at least 0 and below 1, got {part.start or part.end}")
        rows = self.part_rows(split, part.start, part.end)
        if not rows:
            raise UserError(
                f"{self.path}: the part {part.start:g} to {part.end:g} of each block of {split} has no rows; "
                f"the split has {self.rows[split]} rows: use another gate share"
            )
        return rows

    def _files(self, shards: Sequence[Shard], part: Part) -> BlockFiles:
        paths = [str(self.path / shard.file) for shard in shards]
        schema, block_rows = self.schema, self.preparation.options.block_rows
        return BlockFiles(paths, sum(schema.widths), block_rows, len(schema.value_fields), part, schema.has_weight)

    def _shards(self, split: str) -> tuple[Shard, ...]:
        if split not in SPLITS:
            raise UserError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
        return self.preparation.shards[split]


def open_data(data_dir: str | Path) -> PreparedData:
    """Opens a prepared directory and checks that it is complete.

    Raises:
        UserError: a file is missing, malformed or not of the recorded size; the message names it.
    """
    return PreparedData(Path(data_dir), *load_complete(data_dir))


def pair(train: tf.data.Dataset, gate: tf.data.Dataset, weight_steps: int) -> tf.data.Dataset:
    """Batches of bi-level training: one gate update, then t = `weight_steps` weight updates.

    Args:
        train: endless (inputs, label [B]), from `PreparedData.train`.
        gate: the same from `PreparedData.gate`.
        weight_steps: t.

    Returns:
        {"train": (inputs, label [t, B]), each tensor holds t batches; "gate": (inputs, label [B])}.

    Raises:
        UserError: `weight_steps` is below 1.
    """
    if weight_steps < 1:
        raise UserError(f"weight steps should be at least 1, got {weight_steps}")
    steps = train.batch(weight_steps, drop_remainder=True)
    return tf.data.Dataset.zip({"train": steps, "gate": gate}).prefetch(tf.data.AUTOTUNE)
