"""What numeric transforms learn from the training split: bins' boundaries, mean and deviation.

They come from the rows whose row numbers have the smallest hashes. This uniform sample depends neither on how the log
is cut into chunks nor on which process reads which part. It holds all rows of a small log.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from data_pipelines.fields.columns import codes, distinct
from data_pipelines.fields.declarations import Input
from data_pipelines.fields.readings import read
from data_pipelines.fields.rules import numbers, transformed
from data_pipelines.row_hashes import row_hashes

SAMPLE_ROWS = 1 << 18
"""With this many rows, a quantile is off by about 0.1 % of the rows."""
_SAMPLE_SALT = 3
_TOLERANCE = 1e-12
"""A deviation below this fraction of the largest magnitude counts as 0. Rounding alone gives about 1e-16."""
_LARGEST = 1e100
"""Numbers are clipped here before averaging, so that their squares do not overflow."""


class NumericSample:
    """A sample of the training rows' numbers.

    Args:
        inputs: all fields; those that learn something are sampled.
        seed: of the sample.
    """

    def __init__(self, inputs: Sequence[Input], seed: int):
        self._names = [field for field in inputs if field.transform in ("equal_frequency", "value", "log_value")]
        self._seed = seed
        self._hashes = np.empty(0, np.uint64)
        self._values = np.empty((0, len(self._names)))

    def add(self, columns: pa.RecordBatch, row_numbers: np.ndarray, chosen: np.ndarray) -> None:
        """Adds the rows that are `chosen` (bool [n])."""
        if not self._names:
            return
        values = [
            numbers(read(distinct(columns, f.column), f.reading))[codes(columns, f.column)[chosen]] for f in self._names
        ]
        self.merge(row_hashes(row_numbers[chosen], self._seed, _SAMPLE_SALT), np.stack(values, axis=1))

    def merge(self, hashes: np.ndarray, values: np.ndarray) -> None:
        """Adds rows by their hashes [n] and numbers [n, fields]."""
        hashes = np.concatenate([self._hashes, hashes])
        values = np.concatenate([self._values, values])
        if len(hashes) > SAMPLE_ROWS:
            kept = np.argpartition(hashes, SAMPLE_ROWS)[:SAMPLE_ROWS]
            hashes, values = hashes[kept], values[kept]
        self._hashes, self._values = hashes, values

    def sample(self) -> tuple[np.ndarray, np.ndarray]:
        """(hashes [n], numbers [n, fields]) so far."""
        return self._hashes, self._values

    def parameters(self) -> dict[str, tuple[float, ...]]:
        """By field: inner boundaries of "equal_frequency" bins, or (mean, deviation) of values, 0 for constants."""
        # Sorted by hash, so that sums do not depend on the order in which rows were added.
        values = self._values[np.argsort(self._hashes, kind="stable")]
        found: dict[str, tuple[float, ...]] = {}
        for position, field in enumerate(self._names):
            known = values[:, position]
            known = np.clip(known[np.isfinite(known)], -_LARGEST, _LARGEST)
            if field.transform == "equal_frequency":
                found[field.name] = bin_boundaries(known, field.bins)
            else:
                known = transformed(known, field.transform)
                found[field.name] = _moments(known)
        return found


def bin_boundaries(known: np.ndarray, bins: int) -> tuple[float, ...]:
    """The smallest number of each bin except the first, for bins that hold about equally many of the numbers [n].

    A number that is more frequent than an even share gets a bin of its own. Quantiles of the other numbers share the
    remaining bins. There are fewer than `bins` only if there are fewer different numbers.
    """
    if not len(known):
        return ()
    values, counts = np.unique(known, return_counts=True)
    heavy, left = _heavy(counts, bins)
    rest = known[~np.isin(known, values[heavy])]
    cuts = np.quantile(rest, np.arange(1, left) / left, method="inverted_cdf") if len(rest) else np.empty(0)
    quantile = np.searchsorted(np.unique(cuts), values, side="right")
    first = np.flatnonzero((np.diff(quantile) > 0) | heavy[1:] | heavy[:-1]) + 1
    first = _merged(first, counts, heavy, bins)
    # Numbers above a heavy one leave its bin, unless the next bin is a heavy number's as well.
    alone = heavy[first - 1] & ~heavy[first] & (np.diff(first, prepend=0) == 1)
    return tuple(_next_number(values[i - 1]) if one else float(values[i]) for i, one in zip(first, alone, strict=True))


def _heavy(counts: np.ndarray, bins: int) -> tuple[np.ndarray, int]:
    """From counts [d]: which numbers get bins of their own (bool [d]), and how many bins the others share."""
    heavy, left = np.zeros(len(counts), bool), bins
    while True:
        rest = counts[~heavy].sum()
        more = ~heavy & (counts * left > rest)
        # One bin must remain for the other numbers, if there are any.
        if not more.any() or more.sum() >= left:
            return heavy, left
        heavy |= more
        left = bins - int(heavy.sum())


def _merged(first: np.ndarray, counts: np.ndarray, heavy: np.ndarray, bins: int) -> np.ndarray:
    """Merges bins until there are no more than `bins`, for heavy numbers may cut quantiles in two.

    The smallest bin joins its smaller neighbour; the bins of heavy numbers are merged last. A bin is given by the
    position of its first number; the first bin's is left out.
    """
    first = np.concatenate([[0], first])
    while len(first) > bins:
        rows = np.add.reduceat(counts, first).astype(float)
        rows[heavy[first] & (np.diff(first, append=len(counts)) == 1)] += counts.sum()
        smallest = int(np.argmin(rows))
        above = smallest == 0 or (smallest + 1 < len(first) and rows[smallest + 1] < rows[smallest - 1])
        first = np.delete(first, smallest + 1 if above else smallest)
    return first[1:]


def _next_number(value: float) -> float:
    """The next larger float64, except denormal numbers, which some processors take for 0."""
    following, smallest = float(np.nextafter(value, np.inf)), float(np.finfo(np.float64).tiny)
    return following if abs(following) >= smallest else smallest if following > 0 else 0.0


def _moments(known: np.ndarray) -> tuple[float, float]:
    """(mean, deviation) of numbers [n]; the deviation is 0 if they differ only by rounding."""
    if not len(known):
        return 0.0, 0.0
    deviation = float(known.std())
    return float(known.mean()), deviation if deviation > _TOLERANCE * np.abs(known).max() else 0.0
