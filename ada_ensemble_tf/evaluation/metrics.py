"""Exact metrics of click-through-rate models on whole splits in memory.

All but `cross_expert_correlation` take labels `[N]` in {0, 1} and probabilities `[N]` as NumPy arrays.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from sklearn.metrics import roc_auc_score

SMALLEST = 1e-7
"""In logarithms, probabilities are kept this far from 0 and 1, about float32's resolution just below 1."""


def auc(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Area under the ROC curve, ties counted half; NaN if there is only one class.

    Example:
        >>> auc(np.array([0, 1, 1, 0]), np.array([0.1, 0.9, 0.4, 0.5]))
        0.75
    """
    return float(roc_auc_score(labels, probabilities)) if 0 < np.mean(labels) < 1 else float("nan")


def logloss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean LogLoss in nats.

    Example:
        >>> round(logloss(np.array([1, 0]), np.array([0.5, 0.5])), 4)
        0.6931
    """
    p = np.clip(probabilities.astype(np.float64), SMALLEST, 1.0 - SMALLEST)
    return float(-np.mean(np.where(labels > 0.5, np.log(p), np.log1p(-p))))


def normalized_entropy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """LogLoss / entropy of the base rate (He et al., ADKDD 2014; DHEN, arXiv 2203.11014); 1 means nothing was learned.

    NaN if there is only one class.

    Example:
        >>> normalized_entropy(np.array([1, 0]), np.array([0.5, 0.5]))
        1.0
    """
    rate = np.mean(labels, dtype=np.float64)
    if not 0.0 < rate < 1.0:
        return float("nan")
    return logloss(labels, probabilities) / logloss(labels, np.full(len(labels), rate))


def calibration(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean prediction / observed rate; 1 is calibrated, NaN without positives.

    Example:
        >>> calibration(np.array([1, 0]), np.array([0.75, 0.75]))
        1.5
    """
    rate = np.mean(labels, dtype=np.float64)
    return float(np.mean(probabilities, dtype=np.float64) / rate) if rate else float("nan")


def expected_calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = 20) -> float:
    """Mean |prediction - observed rate| over `bins` groups of equal size, sorted by prediction.

    Rows with equal predictions are assigned to groups in row order.
    """
    order = np.argsort(probabilities, kind="stable")
    error = 0.0
    for rows in np.array_split(order, bins):
        if len(rows):
            gap = np.mean(probabilities[rows], dtype=np.float64) - np.mean(labels[rows], dtype=np.float64)
            error += len(rows) * abs(gap)
    return float(error / len(labels))


def grouped_auc(labels: np.ndarray, probabilities: np.ndarray, groups: np.ndarray) -> float:
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
        value = auc(labels[rows], probabilities[rows])
        if np.isfinite(value):
            total += len(rows) * value
            weight += len(rows)
    return total / weight if weight else float("nan")


def all_metrics(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """A split's metrics as stored in metrics.json."""
    return {
        "auc": auc(labels, probabilities),
        "logloss": logloss(labels, probabilities),
        "normalized_entropy": normalized_entropy(labels, probabilities),
        "calibration": calibration(labels, probabilities),
        "expected_calibration_error": expected_calibration_error(labels, probabilities),
        "rows": len(labels),
    }


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
