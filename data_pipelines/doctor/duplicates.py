"""Finds rows that occur more than once, in bounded memory: 8 bytes per row, and a sample of large data.

In coarse data, different events look alike: their fields agree, but their labels agree only as often as one rate of
positives makes them. Copied rows agree in their labels as well. Look-alikes are therefore no fault, however many there
are. How strongly labels agree among rows with equal fields tells copies from look-alikes.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from data_pipelines.row_hashes import splitmix64

MAX_ROWS = 20_000_000
"""Most keys that are kept. Larger data are sampled by the rows' fields, so rows with equal fields stay together."""
COPIED_AGREEMENT = 0.5
"""Above this, about half or more of the rows with equal fields are copies. Look-alikes in click logs have 0 to 0.35."""
_SURE_DEVIATIONS = 4
_TWINS_AT_MOST = 10
"""Largest group of rows with equal fields that is compared: copies come in small groups, look-alikes in crowds."""
_MIN_OF_A_CLASS = 20
_GROUP_BITS = 2


@dataclasses.dataclass(frozen=True)
class Duplicates:
    """What was found, as shares of the rows.

    Attributes:
        identical: rows whose fields and label equal those of another row.
        also_first: for each group except the first, rows that also occur in the first group (fields and label).
        agreement: intraclass correlation of the labels of rows with equal fields: 0 by chance, 1 if they always agree;
            None if there are too few rows.
        deviation: about the standard deviation of `agreement`.
    """

    identical: float
    also_first: tuple[float, ...]
    agreement: float | None
    deviation: float = 0.0

    @property
    def copied(self) -> bool:
        """Whether at least half of the rows that agree are copies rather than look-alikes."""
        least = COPIED_AGREEMENT + _SURE_DEVIATIONS * self.deviation
        return self.agreement is not None and self.agreement > least


class RowKeys:
    """Collects a 64-bit key of every row: 61 bits of a hash of its fields, the label, and 2 bits of the row's group.

    Args:
        groups: how many groups (splits) there are, at most 4.
        max_rows: keys kept.
    """

    def __init__(self, groups: int, max_rows: int = MAX_ROWS):
        self._groups, self._max_rows = groups, max_rows
        self._parts: list[np.ndarray] = []
        self._kept, self._limit = 0, 2**64 - 1

    def add(self, hashes: np.ndarray, label: np.ndarray, group: int) -> None:
        """Adds rows of a group by `row_hash` uint64 [n] and label [n]."""
        keys = hashes << np.uint64(_GROUP_BITS + 1)
        keys |= label.astype(np.uint64) << np.uint64(_GROUP_BITS) | np.uint64(group)
        self._keep(keys)
        while self._kept > self._max_rows:
            # Hashes are uniform, so half of the limit halves the sample.
            self._limit //= 2
            parts, self._parts, self._kept = self._parts, [], 0
            for part in parts:
                self._keep(part)

    def duplicates(self) -> Duplicates:
        """Duplicates among the rows added so far."""
        keys = np.sort(np.concatenate([np.empty(0, np.uint64), *self._parts]))
        groups = np.stack([keys & np.uint64(3) == group for group in range(self._groups)])
        if not len(keys):
            return Duplicates(0.0, (0.0,) * (self._groups - 1), None)
        same = _starts(keys >> np.uint64(_GROUP_BITS))
        sizes = np.diff(same, append=len(keys))
        in_first = np.repeat(np.add.reduceat(groups[0], same, dtype=np.int64) > 0, sizes)
        also_first = [float((in_first & rows).sum() / max(rows.sum(), 1)) for rows in groups[1:]]
        return Duplicates(float(sizes[sizes > 1].sum() / len(keys)), tuple(also_first), *_agreement(keys))

    def _keep(self, keys: np.ndarray) -> None:
        kept = keys[keys <= np.uint64(self._limit)]
        self._parts.append(kept)
        self._kept += len(kept)


def row_hash(columns: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    """Hashes of rows: uint64 [n].

    Args:
        columns: integers or floats of at most 64 bits: [n, C], or C columns [n]. Rows of equal bytes have equal
            hashes; other rows collide with a probability of about 2^-61.
    """
    if isinstance(columns, np.ndarray):
        bits = columns.view(f"u{columns.itemsize}").astype(np.uint64)
        return splitmix64(bits @ _multipliers(bits.shape[1]))
    total = np.zeros(len(columns[0]), np.uint64)
    for column, multiplier in zip(columns, _multipliers(len(columns)), strict=True):
        total += column.view(f"u{column.itemsize}").astype(np.uint64) * multiplier
    return splitmix64(total)


def _multipliers(count: int) -> np.ndarray:
    """Odd multipliers, so that rows that differ in one column only never have the same sum."""
    return splitmix64(np.arange(count)) | np.uint64(1)


def _starts(values: np.ndarray) -> np.ndarray:
    """Positions where runs of equal values begin."""
    return np.flatnonzero(np.append(True, values[1:] != values[:-1]))


def _agreement(keys: np.ndarray) -> tuple[float | None, float]:
    """(agreement, its standard deviation)."""
    starts = _starts(keys >> np.uint64(_GROUP_BITS + 1))
    sizes = np.diff(starts, append=len(keys))
    positives = np.add.reduceat(keys >> np.uint64(_GROUP_BITS) & np.uint64(1), starts).astype(np.int64)
    few = (sizes > 1) & (sizes <= _TWINS_AT_MOST)
    sizes, positives = sizes[few], positives[few]
    rows, rate = sizes.sum(), positives.sum() / max(sizes.sum(), 1)
    if rows * min(rate, 1 - rate) < _MIN_OF_A_CLASS:
        return None, 0.0
    # Mean, over all rows, of the share of equal rows that have the other label.
    differing = (2 * positives * (sizes - positives) / (sizes - 1)).sum() / rows
    # The deviation for pairs whose agreement is a coin toss, which is the largest possible.
    deviation = 0.5 / np.sqrt(len(sizes) * rate * (1 - rate))
    return float(1 - differing / (2 * rate * (1 - rate))), float(deviation)
