"""Whether predictions are right on average, and in groups of like prediction: what pages say about it, in words."""

import numpy as np

from ada_ensemble_tf.evaluation import metrics
from ada_ensemble_tf.evaluation.intervals import SEED, Interval

TOLERANCE = 0.02
"""With millions of rows, the interval of every model excludes 1; 2 % of a bid is less than a day's noise."""
PARTS_TOLERANCE = 0.05
"""From this ratio of expected calibration error to base rate on, some of the rows are priced wrong."""
_REPLICATES = 100
"""Draws of labels from the predictions; the largest error among them is what chance can give."""


def miscalibrated(calibration: Interval) -> bool:
    """Whether mean prediction over observed rate is off by more than both chance and `TOLERANCE`."""
    return calibration.excludes(1.0) and abs(calibration.value - 1.0) > TOLERANCE


def in_numbers(calibration: Interval) -> str:
    """The calibration with its interval, in the digits of the table of metrics."""
    if np.isnan(calibration.low):
        return f"{calibration.value:.4f}"
    return f"{calibration.value:.4f}, 95 % interval {calibration.low:.4f} to {calibration.high:.4f}"


def verdict(calibration: Interval) -> str:
    """What the interval says about the mean prediction.

    Example:
        >>> verdict(Interval(1.0012, 0.9900, 1.0130))
        'right on average: the interval holds 1'
        >>> verdict(Interval(1.0167, 1.0049, 1.0280))
        'too high by 1.7 % on average: beyond chance, but less than the 2 % that count as a problem here'
    """
    if np.isnan(calibration.value) or np.isnan(calibration.low):
        return "not known: there are too few rows of a label"
    if not calibration.excludes(1.0):
        return "right on average: the interval holds 1"
    way = "high" if calibration.value > 1.0 else "low"
    off = f"too {way} by {100.0 * abs(calibration.value - 1.0):.1f} % on average"
    if miscalibrated(calibration):
        return f"{off}, beyond chance"
    return f"{off}: beyond chance, but less than the {100.0 * TOLERANCE:.0f} % that count as a problem here"


def wrong_in_parts(labels: np.ndarray, probabilities: np.ndarray) -> tuple[float, float] | None:
    """(expected calibration error, the most that chance gives) where groups are off by more than is tolerable."""
    error, chance = metrics.expected_calibration_error(labels, probabilities), _chance_of_error(probabilities)
    relative = error / max(float(np.mean(labels)), 1e-12)
    return (error, chance) if error > chance and relative > PARTS_TOLERANCE else None


def _chance_of_error(probabilities: np.ndarray) -> float:
    """The largest calibration error of labels drawn from the predictions, which are right for these labels."""
    rng = np.random.default_rng(SEED)
    p = np.sort(np.asarray(probabilities, np.float64))
    groups = np.array_split(p, 20)
    sizes = np.array([len(group) for group in groups if len(group)])
    means = np.array([group.mean() for group in groups if len(group)])
    # A group's positives are close to binomial with its mean; the spread of predictions only reduces the variance.
    drawn = rng.binomial(sizes, means, size=(_REPLICATES, len(sizes)))
    return float((np.abs(drawn - sizes * means).sum(axis=1) / len(p)).max())
