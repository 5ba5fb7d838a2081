"""DeLong's test of the difference between two AUCs on the same rows."""

from typing import NamedTuple

import numpy as np
from scipy.special import ndtr
from scipy.stats import rankdata


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
    """The share of negatives below each positive `[m]`, and the share of positives above each negative `[n]`."""

    above: np.ndarray
    below: np.ndarray


def delong(labels: np.ndarray, predictions: np.ndarray, other: np.ndarray) -> DeLong:
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

    Raises:
        ValueError: if there are fewer than two rows of either label, or the lengths differ.
    """
    if not len(labels) == len(predictions) == len(other):
        raise ValueError(f"labels and predictions differ in length: {len(labels)}, {len(predictions)}, {len(other)}")
    return compare_placements(placements(labels, predictions), placements(labels, other))


def compare_placements(one: Placements, other: Placements) -> DeLong:
    """`delong` from the `placements` of both models on the same rows."""
    (above, below), (other_above, other_below) = one, other
    auc, other_auc = float(above.mean()), float(other_above.mean())
    variance = np.var(above - other_above, ddof=1) / len(above) + np.var(below - other_below, ddof=1) / len(below)
    error, difference = float(np.sqrt(variance)), auc - other_auc
    z = difference / error if error else float(np.sign(difference) * np.inf) if difference else 0.0
    return DeLong(auc, other_auc, error, z, two_sided(z))


def two_sided(z: float) -> float:
    """The two-sided p value of a standard normal z."""
    return float(2.0 * ndtr(-abs(z)))


def placements(labels: np.ndarray, predictions: np.ndarray) -> Placements:
    """The placements of a model's rows. Ranking is most of a test's work: to compare many models, rank each once.

    Raises:
        ValueError: if there are fewer than two rows of either label.
    """
    labels, predictions = np.asarray(labels) > 0.5, np.asarray(predictions)
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if min(positives, negatives) < 2:
        raise ValueError(f"needs two rows of each label; received {positives} positives, {negatives} negatives")
    ranks = rankdata(predictions)
    positive, negative = predictions[labels], predictions[~labels]
    above = (ranks[labels] - rankdata(positive)) / len(negative)
    below = 1.0 - (ranks[~labels] - rankdata(negative)) / len(positive)
    return Placements(above, below)
