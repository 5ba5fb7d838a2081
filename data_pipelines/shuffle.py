"""The shuffle on disk, in two passes and bounded memory.

Rows are scattered at random over temporary bucket files; then each bucket, small enough for memory, is
permuted and written as one record file. Both draws depend on the seed and the row's number alone, so the
outcome does not depend on how the raw log was cut into chunks.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_pipelines.preparation import Shard
from data_pipelines.records import shard_name, write_shard
from data_pipelines.splits import bucket_of_rows

BUCKET_BYTES = 64 << 20
MIN_BUCKET_ROWS = 1024
"""Below this a split gets one file; it also makes an empty bucket practically impossible."""
PARALLEL_FILES = 4
"""Files that even a small split is spread over, for parallel reading."""


class DiskShuffle:
    """Shuffles the rows of one split.

    Attributes:
        positives: rows with label 1 added so far.
    """

    def __init__(self, directory: Path, split: str, rows: int, dtype: np.dtype, block_rows: int, seed: int):
        """Opens the bucket files.

        Args:
            directory: where the bucket files are written.
            split: its name; also tells the permutations of the splits apart.
            rows: how many rows will be added.
            dtype: of a row, see `records.row_dtype`.
            block_rows: rows of a full block.
            seed: of both passes.
        """
        few = min(PARALLEL_FILES, rows // max(block_rows, MIN_BUCKET_ROWS))
        self.buckets = max(1, few, -(-rows * dtype.itemsize // BUCKET_BYTES))
        self.positives = 0
        self._dtype, self._block_rows, self._seed, self._split = dtype, block_rows, seed, split
        self._paths = [directory / f"{split}.bucket-{bucket:05d}" for bucket in range(self.buckets)]
        self._files = [path.open("wb") for path in self._paths]

    def add(self, rows: np.ndarray, row_numbers: np.ndarray) -> None:
        """Scatters rows [n] with their numbers [n], which grow from call to call."""
        self.positives += int(rows["label"].sum(dtype=np.int64))
        if self.buckets == 1:
            self._files[0].write(memoryview(rows).cast("B"))
            return
        bucket = bucket_of_rows(row_numbers, self.buckets, self._seed)
        order = np.argsort(bucket, kind="stable")
        rows = rows[order]
        ends = np.cumsum(np.bincount(bucket, minlength=self.buckets))
        for file, start, end in zip(self._files, np.concatenate([[0], ends[:-1]]), ends, strict=True):
            file.write(rows[start:end].data.cast("B"))

    def write_shards(self, directory: Path, dataset: str) -> Iterator[Shard]:
        """Permutes each bucket and writes it as a record file; removes the bucket files as it goes."""
        self.close()
        for bucket, path in enumerate(self._paths):
            rows = np.fromfile(path, self._dtype)
            path.unlink()
            key = [self._seed, *self._split.encode(), bucket]
            rows = rows[np.random.Generator(np.random.PCG64(np.random.SeedSequence(key))).permutation(len(rows))]
            yield write_shard(
                directory / shard_name(dataset, self._split, bucket, self.buckets), rows, self._block_rows
            )

    def close(self) -> None:
        """Closes the bucket files; a full disk may show only here."""
        for file in self._files:
            file.close()
