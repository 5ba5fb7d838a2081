"""The shuffle on disk, in two passes and bounded memory.

Rows are scattered at random over temporary bucket files; then each bucket, small enough for memory, is
permuted and written as one record file. Both draws depend on the seed and the row's number alone, so the
outcome does not depend on how the raw log was cut into chunks.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from data_pipelines.errors import UserError
from data_pipelines.prepare.splitting import DROPPED
from data_pipelines.read.preparation import SPLITS, Shard
from data_pipelines.read.records import shard_name, write_shard
from data_pipelines.row_hashes import bucket_of_rows

BUCKET_BYTES = 64 << 20
MIN_BUCKET_ROWS = 1024
"""A split with fewer rows gets one file. This also makes an empty bucket practically impossible."""
PARALLEL_FILES = 4
"""Even a small split is spread over this many files, for parallel reading."""


class Buckets:
    """Which bucket each row goes to, over all splits.

    Args:
        rows: number of rows by split name.
        row_bytes: size of a row.
        block_rows: rows in a full block.
        seed: seeds the draw.

    Attributes:
        names: (split, number within the split) of each bucket.
        counts: number of buckets by split name.
    """

    def __init__(self, rows: Mapping[str, int], row_bytes: int, block_rows: int, seed: int):
        self._seed = seed
        self.counts = {}
        for split in SPLITS:
            few = min(PARALLEL_FILES, rows[split] // max(block_rows, MIN_BUCKET_ROWS))
            self.counts[split] = max(1, few, -(-rows[split] * row_bytes // BUCKET_BYTES))
        self.names = [(split, bucket) for split in SPLITS for bucket in range(self.counts[split])]
        self._number = np.array([self.counts[split] for split in SPLITS])
        self._first = np.cumsum([0, *self._number[:-1]])

    def scatter(self, rows: np.ndarray, split: np.ndarray, row_numbers: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yields (bucket, its rows in order) of rows [n] with splits [n] and numbers [n]; skips empty buckets.

        Rows with the split `DROPPED` are left out.
        """
        if (dropped := split == DROPPED).any():
            rows, split, row_numbers = rows[~dropped], split[~dropped], row_numbers[~dropped]
        bucket = self._first[split] + bucket_of_rows(row_numbers, self._number[split], self._seed)
        order = np.argsort(bucket.astype(np.uint16 if len(self.names) < 2**16 else np.int64), kind="stable")
        rows = rows[order]
        ends = np.cumsum(np.bincount(bucket, minlength=len(self.names)))
        for index, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
            if end > start:
                yield index, rows[start:end]


class DiskShuffle:
    """Bucket files of all splits.

    Args:
        directory: where the bucket files are.
        buckets: how rows are assigned to buckets.
        dtype: dtype of a row, see `records.row_dtype`.
    """

    def __init__(self, directory: Path, buckets: Buckets, dtype: np.dtype):
        self._directory, self._buckets, self._dtype = directory, buckets, dtype
        self.rows = [0] * len(buckets.names)
        """Rows of each bucket."""

    def add(self, rows: np.ndarray, split: np.ndarray, row_numbers: np.ndarray) -> None:
        """Scatters rows [n] with their splits [n] and numbers [n]; the numbers grow from call to call."""
        for bucket, chosen in self._buckets.scatter(rows, split, row_numbers):
            # Opened for each write: there may be more buckets than files a process may have open.
            with self._path(bucket).open("ab") as file:
                file.write(chosen.data.cast("B"))
            self.rows[bucket] += len(chosen)

    def write_shards(
        self, directory: Path, dataset: str, rows: Sequence[int], block_rows: int, seed: int
    ) -> Iterator[tuple[str, Shard]]:
        """Permutes each bucket and writes it as a record file; yields (split, record file).

        Raises UserError if a bucket file has the wrong number of rows.

        Removes the bucket files as it goes. Keeps record files that an interrupted call completed.
        """
        for bucket, (split, number) in enumerate(self._buckets.names):
            path = directory / shard_name(dataset, split, number, self._buckets.counts[split])
            if self._path(bucket).exists() or not path.exists():
                found = np.fromfile(self._path(bucket), self._dtype) if rows[bucket] else np.empty(0, self._dtype)
                if len(found) != rows[bucket]:
                    raise UserError(
                        f"{self._path(bucket)}: {len(found)} rows instead of {rows[bucket]}; prepare the data again"
                    )
                write_shard(path, permuted(found, split, number, seed), block_rows)
                self._path(bucket).unlink(missing_ok=True)
            blocks = -(-rows[bucket] // block_rows)
            yield split, Shard(path.name, rows[bucket], blocks, path.stat().st_size)

    def _path(self, bucket: int) -> Path:
        return self._directory / f"{bucket:06d}.rows"


def permuted(rows: np.ndarray, split: str, bucket: int, seed: int) -> np.ndarray:
    """The rows of a bucket in the order of its record file."""
    key = [seed, *split.encode(), bucket]
    return rows[np.random.Generator(np.random.PCG64(np.random.SeedSequence(key))).permutation(len(rows))]
