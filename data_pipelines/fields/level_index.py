"""Finds texts among a field's levels at a cost that does not grow with the number of levels."""

import itertools

import numpy as np
import polars as pl


class LevelIndex:
    """Positions of texts among levels.

    Casting to `pl.Enum` or joining would go through all levels at each call; this looks the texts' hashes up in the
    sorted hashes of the levels and then compares the texts.

    Args:
        levels: distinct texts [V].
    """

    def __init__(self, levels: pl.Series):
        self._levels = levels
        for self._seed in itertools.count():
            hashes = self._hashes(levels)
            self._order = np.argsort(hashes, kind="stable")
            self._sorted = hashes[self._order]
            # Two levels share a hash: try the next seed.
            if len(levels) < 2 or (self._sorted[1:] != self._sorted[:-1]).all():
                return

    def positions(self, text: pl.Series) -> np.ndarray:
        """int64 [n]: the position of each text [n] among the levels, -1 if it is not one."""
        if not len(self._levels):
            return np.full(len(text), -1)
        hashes = self._hashes(text)
        at = np.minimum(np.searchsorted(self._sorted, hashes), len(self._sorted) - 1)
        found = self._order[at]
        same = (self._sorted[at] == hashes) & (self._levels.gather(found) == text).to_numpy()
        return np.where(same, found, -1)

    def _hashes(self, text: pl.Series) -> np.ndarray:
        return text.hash(seed=self._seed).to_numpy()
