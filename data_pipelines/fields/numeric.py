"""What numeric transforms learn from the training split: bins' boundaries, mean and deviation.

They come from the rows with the smallest hashes of their numbers: a uniform sample that depends neither on how the
log was cut into chunks nor on who read which part, and all rows where there are no more than that.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from data_pipelines.fields.columns import codes, distinct
from data_pipelines.fields.declarations import Input
from data_pipelines.fields.levels import numbers, transformed
from data_pipelines.row_hashes import row_hashes

SAMPLE_ROWS = 1 << 18
"""A quantile of so many rows is off by about 0.1 % of the rows."""
_SAMPLE_SALT = 3
_LARGEST = 1e100
"""Of numbers that are averaged, so that their squares do not overflow."""


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
        values = [numbers(distinct(columns, f.column))[codes(columns, f.column)[chosen]] for f in self._names]
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
        """By field: inner boundaries of "equal_frequency" bins, or (mean, deviation) of values."""
        # In the order of hashes, so that sums do not depend on the order of adding.
        values = self._values[np.argsort(self._hashes, kind="stable")]
        found: dict[str, tuple[float, ...]] = {}
        for position, field in enumerate(self._names):
            known = values[:, position]
            known = np.clip(known[np.isfinite(known)], -_LARGEST, _LARGEST)
            if field.transform == "equal_frequency":
                found[field.name] = _boundaries(known, field.bins)
            else:
                known = transformed(known, field.transform)
                deviation = float(known.std()) if len(known) else 0.0
                found[field.name] = (float(known.mean()) if len(known) else 0.0, deviation or 1.0)
        return found


def _boundaries(known: np.ndarray, bins: int) -> tuple[float, ...]:
    """Values at which a next bin begins; fewer than bins - 1 where values repeat so often that bins would be empty."""
    if not len(known):
        return ()
    at = np.quantile(known, np.arange(1, bins) / bins, method="inverted_cdf")
    return tuple(float(v) for v in np.unique(at) if v > known.min())
