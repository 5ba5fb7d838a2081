"""Out-of-vocabulary rows of each field, by split: values that the model never learned."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ada_ensemble_tf.reporting.importance import Columns


class Coverage(NamedTuple):
    """Shares of a field's ids that are out of its vocabulary, by split."""

    field: str
    shares: Mapping[str, float]


def coverage(
    ids: Mapping[str, np.ndarray], columns: Mapping[str, Columns], offsets: Mapping[str, int]
) -> list[Coverage]:
    """The shares of all fields, by decreasing share of the test split.

    Args:
        ids: `[N, C]` by split, "test" among them; negative in unused columns.
        columns: the columns of each field, by name.
        offsets: the out-of-vocabulary row of each field, `Field.offset`.
    """
    found = []
    for field, where in columns.items():
        used = {split: rows[:, where.ids][rows[:, where.ids] >= 0] for split, rows in ids.items()}
        shares = {split: float(np.mean(one == offsets[field])) if len(one) else 0.0 for split, one in used.items()}
        found.append(Coverage(field, shares))
    return sorted(found, key=lambda one: -one.shares["test"])
