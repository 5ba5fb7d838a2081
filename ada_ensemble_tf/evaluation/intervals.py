"""Metrics of one model on one set of rows, with 95 % intervals for the choice of rows."""

from typing import NamedTuple

import numpy as np

from ada_ensemble_tf.evaluation import metrics
from ada_ensemble_tf.evaluation.delong import delong

Z = 1.959964
"""The normal quantile for two-sided 95 %."""
REPLICATES = 1000
"""Bootstrap replicates: each end of a 95 % interval then rests on the 25 outermost on its side."""
GROUPS = 2000
"""Rows are drawn in at most this many random groups, so that time and memory do not grow with the number of rows."""
SEED = 20230128


class Interval(NamedTuple):
    """An estimate and the ends of its 95 % interval; NaN if there is none."""

    value: float
    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Whether a value lies outside the interval."""
        return value < self.low or value > self.high


def auc_interval(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None) -> Interval:
    """AUC with DeLong's normal interval (Biometrics 1988); NaN with fewer than two rows of a label that count."""
    counted = labels if weights is None else labels[weights > 0]
    if min(positives := int(np.sum(counted > 0.5)), len(counted) - positives) < 2:
        return Interval(metrics.auc(labels, probabilities, weights), float("nan"), float("nan"))
    # A constant's placements do not vary, so the error of the difference from it is the error of the AUC.
    result = delong(labels, probabilities, np.zeros(len(labels)), weights)
    half = Z * result.standard_error
    return Interval(result.auc, max(0.0, result.auc - half), min(1.0, result.auc + half))


def bootstrap_intervals(
    labels: np.ndarray, probabilities: np.ndarray, seed: int = SEED, weights: np.ndarray | None = None
) -> dict[str, Interval]:
    """LogLoss, NE and calibration with percentile intervals of the bootstrap (Efron, 1979).

    All three are functions of sums over rows, so a replicate draws groups of rows and adds their sums. With at most
    `GROUPS` rows each row is a group. Otherwise rows are put at random into `GROUPS` groups whose sizes differ by at
    most one row; the sums of such groups vary as those of single rows do.

    Args:
        labels: `[N]` in {0, 1}.
        probabilities: `[N]`.
        seed: seed for groups and draws.
        weights: `[N]`; sums over rows are weighted, draws are not.

    Returns:
        Intervals by the names used in metrics.json: "logloss", "normalized_entropy", "calibration".
    """
    rng = np.random.default_rng(seed)
    labels, p = np.asarray(labels, np.float64), np.asarray(probabilities, np.float64)
    clipped = np.clip(p, metrics.SMALLEST, 1.0 - metrics.SMALLEST)
    losses = -np.where(labels > 0.5, np.log(clipped), np.log1p(-clipped))
    groups = np.array_split(rng.permutation(len(labels)), min(GROUPS, len(labels)))
    w = np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64)
    # [groups, 4]: rows, clicks, sum of predictions, sum of losses.
    columns = [w, w * labels, w * p, w * losses]
    sums = np.array([[column[g].sum() for column in columns] for g in groups])
    places = rng.integers(0, len(groups), (REPLICATES, len(groups))) + len(groups) * np.arange(REPLICATES)[:, None]
    counts = np.bincount(places.ravel(), minlength=places.size).reshape(places.shape)
    drawn = counts.astype(np.float64) @ sums
    values, replicates = _of_sums(sums.sum(axis=0)[None]), _of_sums(drawn)
    return {name: _percentiles(values[name][0], replicates[name]) for name in values}


def wilson(positives: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's 95 % interval for a share (JASA 1927), which also holds for few rows and rates near 0."""
    share, z2 = positives / rows, Z * Z
    middle = (share + z2 / (2 * rows)) / (1 + z2 / rows)
    half = Z / (1 + z2 / rows) * np.sqrt(share * (1 - share) / rows + z2 / (4 * rows * rows))
    return middle - half, middle + half


def metric_intervals(
    labels: np.ndarray, probabilities: np.ndarray, seed: int = SEED, weights: np.ndarray | None = None
) -> dict[str, Interval]:
    """AUC, LogLoss, NE and calibration with intervals, by the names used in metrics.json."""
    found = {"auc": auc_interval(labels, probabilities, weights)}
    return found | bootstrap_intervals(labels, probabilities, seed, weights)


def _of_sums(sums: np.ndarray) -> dict[str, np.ndarray]:
    rows, clicks, predicted, losses = sums.T
    rate = clicks / rows
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -(rate * np.log(rate) + (1.0 - rate) * np.log1p(-rate))
        return {
            "logloss": losses / rows,
            "normalized_entropy": losses / rows / entropy,
            "calibration": predicted / clicks,
        }


def _percentiles(value: float, replicates: np.ndarray) -> Interval:
    finite = replicates[np.isfinite(replicates)]
    if not len(finite) or not np.isfinite(value):
        return Interval(float(value), float("nan"), float("nan"))
    return Interval(float(value), *(float(end) for end in np.quantile(finite, [0.025, 0.975])))
