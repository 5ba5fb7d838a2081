"""Slices of rows by the value of a field, worst first."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ada_ensemble_tf.evaluation import metrics
from ada_ensemble_tf.evaluation.intervals import Z
from ada_ensemble_tf.reporting.importance import Columns

MIN_ROWS = 200
"""Rows of a slice; with fewer, LogLoss is mostly chance."""
MIN_OF_A_LABEL = 10
"""Rows of each label in a slice; with fewer, the normal interval does not hold."""


class Slice(NamedTuple):
    """The rows in which a field has a value.

    `difference` is LogLoss minus that of always predicting the slice's own click rate. Below 0 the model knows more
    than the rate; above 0 a constant would do better. `low` and `high` are the ends of its 95 % interval.
    """

    field: str
    id: int
    rows: int
    clicks: int
    logloss: float
    base_logloss: float
    difference: float
    low: float
    high: float
    calibration: float


def worst_slices(
    labels: np.ndarray,
    probabilities: np.ndarray,
    ids: np.ndarray,
    columns: Mapping[str, Columns],
    min_rows: int = MIN_ROWS,
) -> list[Slice]:
    """All slices with at least `min_rows` rows and `MIN_OF_A_LABEL` of each label, by decreasing `low`.

    In this order, slices with few rows and a large difference by chance do not lead. With many slices, some intervals
    still miss the truth.

    Args:
        labels: `[N]` in {0, 1}.
        probabilities: `[N]`.
        ids: `[N, C]`, negative in unused columns.
        columns: the columns of each field, by name; a row with several values is in the slices of all of them.
        min_rows: the fewest rows of a slice.
    """
    p = np.clip(probabilities.astype(np.float64), metrics.SMALLEST, 1.0 - metrics.SMALLEST)
    clicks = np.asarray(labels) > 0.5
    losses = -np.where(clicks, np.log(p), np.log1p(-p))
    found = []
    for field, where in columns.items():
        rows, values = _used(ids[:, where.ids])
        order = np.argsort(values, kind="stable")
        starts = np.flatnonzero(np.diff(values[order])) + 1
        for members in np.split(order, starts):
            slice_rows = rows[members]
            positives = int(clicks[slice_rows].sum())
            if len(members) >= min_rows and min(positives, len(members) - positives) >= MIN_OF_A_LABEL:
                found.append(_slice(field, int(values[members[0]]), slice_rows, clicks, p, losses))
    return sorted(found, key=lambda one: -one.low)


def _used(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(row, id) of all used columns, each pair once."""
    rows = np.repeat(np.arange(len(ids)), ids.shape[1])
    flat = ids.ravel()
    used = flat >= 0
    return tuple(np.unique(np.stack([rows[used], flat[used]]), axis=1)) if ids.shape[1] > 1 else (rows, flat)


def _slice(field: str, id: int, members: np.ndarray, clicks: np.ndarray, p: np.ndarray, losses: np.ndarray) -> Slice:
    y = clicks[members]
    rate = y.mean()
    base = -np.where(y, np.log(rate), np.log1p(-rate))
    # The rate is estimated too, but the base LogLoss has its minimum at the estimate, so this adds no variance.
    paired = losses[members] - base
    difference, half = paired.mean(), Z * paired.std(ddof=1) / np.sqrt(len(paired))
    return Slice(
        field, id, len(members), int(y.sum()), float(losses[members].mean()), float(base.mean()), float(difference),
        float(difference - half), float(difference + half), float(p[members].mean() / rate),
    )  # fmt: skip
