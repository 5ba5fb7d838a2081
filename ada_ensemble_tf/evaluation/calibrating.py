"""Fits a calibration of a trained model's predictions on held-out rows."""

import math
from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.isotonic import IsotonicRegression

from ada_ensemble_tf.evaluation.metrics import SMALLEST, mean
from ada_ensemble_tf.layers.calibration import Calibration

_LARGEST_LOG = math.log(1e3)
"""Temperatures are sought from 1/1000 to 1000."""
_NEAREST = 0.05


def logits_of(probabilities: np.ndarray) -> np.ndarray:
    """Logits `[N]` float64, kept finite."""
    p = np.clip(probabilities.astype(np.float64), SMALLEST, 1.0 - SMALLEST)
    return np.log(p) - np.log1p(-p)


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None) -> Calibration:
    """The temperature with the least LogLoss.

    Args:
        labels: `[N]` in {0, 1}.
        probabilities: `[N]`.
        weights: `[N]`; None counts every row once.

    Example:
        >>> labels, p = np.array([1, 1, 1, 0]), np.array([0.9, 0.9, 0.9, 0.9])
        >>> round(fit_temperature(labels, p).temperature, 3)
        2.0
    """
    signed = np.where(labels > 0.5, -1.0, 1.0) * logits_of(probabilities)

    def loss(log_temperature: float) -> float:
        return mean(np.logaddexp(0.0, signed * math.exp(-log_temperature)), weights)

    found = minimize_scalar(loss, bounds=(-_LARGEST_LOG, _LARGEST_LOG), method="bounded", options={"xatol": 1e-8})
    return Calibration("temperature", temperature=math.exp(found.x))


def fit_isotonic(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None) -> Calibration:
    """The click rates of scikit-learn's isotonic regression, each at the mean logit of its rows, linear in between.

    Centred points (Oron and Flournoy, Statistics in Biopharmaceutical Research, 2017) keep the order of the rows,
    whereas steps would make many predictions equal and turn the rounding of a logit into a jump. For the same reason
    rates whose logits are closer than `_NEAREST` are pooled. Rates of 0 and 1 become 1 / 2N and 1 - 1 / 2N, because a
    certain prediction that is wrong once costs everything.

    Args:
        labels: `[N]` in {0, 1}.
        probabilities: `[N]`.
        weights: `[N]`; None counts every row once. Rows of weight 0 are left out.

    Example:
        >>> labels, p = np.array([0, 1, 0, 1]), np.array([0.1, 0.4, 0.5, 0.9])
        >>> calibration = fit_isotonic(labels, p)
        >>> [round(1.0 / (1.0 + math.exp(-y)), 3) for y in calibration.calibrated]
        [0.125, 0.5, 0.875]
    """
    weights = np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64)
    labels, probabilities, weights = (x[weights > 0] for x in (labels, probabilities, weights))
    logits, least = logits_of(probabilities), 0.5 / len(labels)
    fitted = IsotonicRegression().fit_transform(logits, labels, sample_weight=weights)
    rates, block = np.unique(fitted, return_inverse=True)
    rows = np.bincount(block, weights)
    pooled: list[tuple[float, float, float]] = []
    for logit, rate, count in zip(np.bincount(block, weights * logits) / rows, rates, rows.tolist(), strict=True):
        if pooled and logit - pooled[-1][0] < _NEAREST:
            before_logit, before_rate, before = pooled.pop()
            count += before
            logit = before_logit + (logit - before_logit) * (count - before) / count
            rate = before_rate + (rate - before_rate) * (count - before) / count
        pooled.append((float(logit), float(rate), count))
    calibrated = logits_of(np.clip([rate for _, rate, _ in pooled], least, 1.0 - least))
    return Calibration("isotonic", logits=tuple(logit for logit, *_ in pooled), calibrated=tuple(calibrated.tolist()))


FITS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray | None], Calibration]] = {
    "temperature": fit_temperature,
    "isotonic": fit_isotonic,
}
"""(labels, probabilities, weights or None) -> calibration, by the value of `config.calibration`."""
