"""Exact metrics of click-through-rate models on whole splits in memory.

All but `cross_expert_correlation` take labels `[N]` in {0, 1}, probabilities `[N]` and weights `[N]` as NumPy arrays.
Weights are at least 0; a row of weight 2 counts as two rows. Without weights every row counts once.
"""

import itertools
from collections.abc import Sequence

import numpy as np

SMALLEST = 1e-7
"""In logarithms, probabilities are kept this far from 0 and 1, about float32's resolution just below 1."""


Weights = np.ndarray | None


def auc(labels: np.ndarray, probabilities: np.ndarray, weights: Weights = None) -> float:
    """Area under the ROC curve, ties counted half; NaN if there is only one class.

    Example:
        >>> auc(np.array([0, 1, 1, 0]), np.array([0.1, 0.9, 0.4, 0.5]))
        0.75
    """
    if not 0 < mean(labels, weights) < 1:
        return float("nan")
    # Here, because a machine that only scores imports this module and need not have scikit-learn.
    from sklearn.metrics import roc_auc_score

    weights = None if weights is None else np.asarray(weights, np.float64)
    return float(roc_auc_score(labels, probabilities, sample_weight=weights))


def logloss(labels: np.ndarray, probabilities: np.ndarray, weights: Weights = None) -> float:
    """Mean LogLoss in nats.

    Example:
        >>> round(logloss(np.array([1, 0]), np.array([0.5, 0.5])), 4)
        0.6931
    """
    p = np.clip(probabilities.astype(np.float64), SMALLEST, 1.0 - SMALLEST)
    return -mean(np.where(labels > 0.5, np.log(p), np.log1p(-p)), weights)


def normalized_entropy(labels: np.ndarray, probabilities: np.ndarray, weights: Weights = None) -> float:
    """LogLoss / entropy of the base rate (He et al., ADKDD 2014; DHEN, arXiv 2203.11014); 1 means nothing was learned.

    NaN if there is only one class.

    Example:
        >>> normalized_entropy(np.array([1, 0]), np.array([0.5, 0.5]))
        1.0
    """
    rate = mean(labels, weights)
    if not 0.0 < rate < 1.0:
        return float("nan")
    return logloss(labels, probabilities, weights) / logloss(labels, np.full(len(labels), rate), weights)


def calibration(labels: np.ndarray, probabilities: np.ndarray, weights: Weights = None) -> float:
    """Mean prediction / observed rate; 1 is calibrated, NaN without positives.

    Example:
        >>> calibration(np.array([1, 0]), np.array([0.75, 0.75]))
        1.5
    """
    rate = mean(labels, weights)
    return mean(probabilities, weights) / rate if rate else float("nan")


def expected_calibration_error(
    labels: np.ndarray, probabilities: np.ndarray, weights: Weights = None, bins: int = 20
) -> float:
    """Mean |prediction - observed rate| over `bins` groups of equal size, sorted by prediction.

    Rows with equal predictions are assigned to groups in row order. Where rows have weights, groups have about equal
    weight: a row belongs to the group in which the middle of its weight falls.
    """
    order = np.argsort(probabilities, kind="stable")
    if weights is None:
        groups = np.array_split(order, bins)
    else:
        ends = np.cumsum(weights[order], dtype=np.float64)
        place = np.floor(bins * (ends - weights[order] / 2) / max(ends[-1], np.finfo(float).tiny))
        groups = np.split(order, np.searchsorted(place, np.arange(1, bins)))
    error = size = 0.0
    for rows in groups:
        own = None if weights is None else weights[rows]
        count = len(rows) if own is None else own.sum(dtype=np.float64)
        if count:
            error += count * abs(mean(probabilities[rows], own) - mean(labels[rows], own))
            size += count
    return float(error / size) if size else float("nan")


def grouped_auc(labels: np.ndarray, probabilities: np.ndarray, groups: np.ndarray, weights: Weights = None) -> float:
    """Mean AUC within groups `[N]`, weighted by rows; groups with a single class are left out, NaN if all are.

    Example:
        >>> labels, p = np.array([0, 1, 0, 1, 1, 1]), np.array([0.1, 0.9, 0.6, 0.4, 0.5, 0.2])
        >>> grouped_auc(labels, p, groups=np.array([0, 0, 1, 1, 2, 2]))
        0.5
    """
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order])) + 1
    total = weight = 0.0
    for rows in np.split(order, starts):
        own = None if weights is None else weights[rows]
        value, count = auc(labels[rows], probabilities[rows], own), len(rows) if own is None else own.sum()
        if np.isfinite(value):
            total += count * value
            weight += count
    return total / weight if weight else float("nan")


def all_metrics(labels: np.ndarray, probabilities: np.ndarray, weights: Weights = None) -> dict[str, float]:
    """A split's metrics as stored in metrics.json."""
    found = {
        metric.__name__: metric(labels, probabilities, weights)
        for metric in (auc, logloss, normalized_entropy, calibration, expected_calibration_error)
    }
    return found | {"rows": len(labels)}


def mean(values: np.ndarray, weights: Weights = None) -> float:
    """The mean of values `[N]` in float64; NaN if all weights are 0."""
    if weights is None:
        return float(np.mean(values, dtype=np.float64))
    total = np.sum(weights, dtype=np.float64)
    return float(np.sum(values * np.asarray(weights, np.float64)) / total) if total else float("nan")


def cross_expert_correlation(outputs: Sequence[np.ndarray]) -> dict[str, float]:
    """Cross-Expert Correlation of experts' outputs `[N, A_i]` on the same rows; 0 is uncorrelated.

    D-MoE (arXiv 2505.17925): over pairs of experts, the mean of |C[a, b]| ("absolute") and of C[a, b]^2 ("squared"),
    where C[a, b] is the correlation of dimension a of one expert with dimension b of the other. For independent
    outputs, "squared" is about 1 / (N - 1). A constant dimension has correlation 0 with every other.

    Raises:
        ValueError: if there are fewer than two experts or rows.
    """
    rows = min((len(output) for output in outputs), default=0)
    if len(outputs) < 2 or rows < 2:
        raise ValueError(f"correlation needs two or more experts and rows; received {len(outputs)} and {rows}")
    standard = []
    for output in outputs:
        centred = output - np.mean(output, axis=0, dtype=np.float64)
        spread = np.where(np.ptp(output, axis=0) > 0.0, np.sqrt(np.sum(centred**2, axis=0)), np.inf)
        # Float32 takes half the time for these sums of many products, which stay exact to six digits.
        standard.append((centred / spread).astype(np.float32))
    pairs = [first.T @ second for first, second in itertools.combinations(standard, 2)]
    return {
        "absolute": float(np.mean([np.mean(np.abs(correlation), dtype=np.float64) for correlation in pairs])),
        "squared": float(np.mean([np.mean(np.square(correlation), dtype=np.float64) for correlation in pairs])),
    }
