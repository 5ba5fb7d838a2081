"""DeLong's test of the difference between two AUCs on the same rows."""

from typing import NamedTuple

import numpy as np
from scipy.special import ndtr
from scipy.stats import rankdata

from ada_ensemble_tf.evaluation import metrics


class DeLong(NamedTuple):
    """The result of `delong`.

    Attributes:
        auc: AUC of the first predictions.
        other_auc: AUC of the second predictions.
        standard_error: standard error of the difference; 0 if both rank the rows alike.
        z: (auc - other_auc) / standard_error; 0 if both are 0.
        p: two-sided p value.
    """

    auc: float
    other_auc: float
    standard_error: float
    z: float
    p: float


class Placements(NamedTuple):
    """The share of negatives below each positive `[m]`, and the share of positives above each negative `[n]`.

    With weights of the rows, shares are of weight, and the weights of positives `[m]` and of negatives `[n]` go with
    them; None counts every row once.
    """

    above: np.ndarray
    below: np.ndarray
    above_weights: np.ndarray | None = None
    below_weights: np.ndarray | None = None


def delong(labels: np.ndarray, predictions: np.ndarray, other: np.ndarray, weights: np.ndarray | None = None) -> DeLong:
    """Tests whether two models' AUCs on the same rows differ by more than the choice of rows explains.

    DeLong, DeLong and Clarke-Pearson (Biometrics 1988), with placements from midranks in O(N log N) after Sun and Xu
    (IEEE Signal Processing Letters 2014). With m positives and n negatives, the placement of a positive is the share of
    negatives below it (ties count half), and the placement of a negative is the share of positives above it. AUC is the
    mean of either. The variance of the difference is var(difference of the positives' placements) / m + var(difference
    of the negatives' placements) / n.

    Args:
        labels: `[N]` in {0, 1}.
        predictions: `[N]` of the first model, higher for likelier clicks.
        other: `[N]` of the other model.
        weights: `[N]` of at least 0. AUC is then the weighted mean of placements that are shares of weight, and
            variance / m is that of a weighted mean, m / (m - 1) sum(w^2 (placement - mean)^2) / sum(w)^2.

    Raises:
        ValueError: if there are fewer than two rows of either label, or the lengths differ.
    """
    if not len(labels) == len(predictions) == len(other):
        raise ValueError(f"labels and predictions differ in length: {len(labels)}, {len(predictions)}, {len(other)}")
    return compare_placements(placements(labels, predictions, weights), placements(labels, other, weights))


def compare_placements(one: Placements, other: Placements) -> DeLong:
    """`delong` from the `placements` of both models on the same rows."""
    auc, other_auc = (metrics.mean(model.above, model.above_weights) for model in (one, other))
    variance = _variance(one.above - other.above, one.above_weights)
    variance += _variance(one.below - other.below, one.below_weights)
    error, difference = float(np.sqrt(variance)), auc - other_auc
    z = difference / error if error else float(np.sign(difference) * np.inf) if difference else 0.0
    return DeLong(auc, other_auc, error, z, two_sided(z))


def _variance(values: np.ndarray, weights: np.ndarray | None) -> float:
    """The variance of the mean of values [n]."""
    if weights is None:
        return float(np.var(values, ddof=1) / len(values))
    squares = np.sum(np.square(weights * (values - metrics.mean(values, weights))))
    return float(len(values) / (len(values) - 1) * squares / np.square(weights.sum()))


def two_sided(z: float) -> float:
    """The two-sided p value of a standard normal z."""
    return float(2.0 * ndtr(-abs(z)))


def placements(labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None = None) -> Placements:
    """The placements of a model's rows. Ranking is most of a test's work: to compare many models, rank each once.

    Rows of weight 0 are left out.

    Raises:
        ValueError: if there are fewer than two rows of either label.
    """
    labels, predictions = np.asarray(labels) > 0.5, np.asarray(predictions)
    if weights is not None:
        weights = np.asarray(weights, np.float64)
        labels, predictions, weights = (x[weights > 0] for x in (labels, predictions, weights))
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if min(positives, negatives) < 2:
        raise ValueError(f"needs two rows of each label; received {positives} positives, {negatives} negatives")
    if weights is not None:
        return _weighted_placements(labels, predictions, weights)
    ranks = rankdata(predictions)
    positive, negative = predictions[labels], predictions[~labels]
    above = (ranks[labels] - rankdata(positive)) / len(negative)
    below = 1.0 - (ranks[~labels] - rankdata(negative)) / len(positive)
    return Placements(above, below)


def _weighted_placements(labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> Placements:
    _, place = np.unique(predictions, return_inverse=True)
    positive, negative = (np.bincount(place, weights * chosen) for chosen in (labels, ~labels))
    # Weight of the other label on the lower (or higher) side; ties count half.
    below = (np.cumsum(negative) - negative / 2) / negative.sum()
    above = 1.0 - (np.cumsum(positive) - positive / 2) / positive.sum()
    return Placements(below[place[labels]], above[place[~labels]], weights[labels], weights[~labels])
