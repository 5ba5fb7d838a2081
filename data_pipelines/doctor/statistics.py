"""Tells which differences between counts chance explains.

Splits are drawn at random, so a difference between them that chance does not explain is a sign that something went
wrong. Thousands of levels are compared, so chance is ruled out only below a probability of `IMPROBABLE` divided by the
number of comparisons (Bonferroni). Sound data would then raise one false alarm in a million check-ups. The tails of
counts are a little heavier than the approximations used here, so it is one in some ten thousand.

Legend: L levels of a field.
"""

import dataclasses

import numpy as np

IMPROBABLE = 1e-6
LEAKING_RATE = 0.95
"""A level with at least this share of positives may give the label away."""
GIVEN_AWAY_AUC = 0.99
NEARLY_GIVEN_AWAY_AUC = 0.9
_MIN_OF_A_CLASS = 20
"""With fewer rows of a class, an AUC is too uncertain to report: at 0.5, its standard error is 0.06."""
_MIN_EXPECTED = 10
"""Least expected rows of a level in each split; rarer levels are pooled, because their counts are not normal."""
_SELECTION_DEVIATIONS = 5


@dataclasses.dataclass(frozen=True)
class Shift:
    """How much the distribution of a field's levels in a split differs from training.

    Attributes:
        distance: total variation, 0 (the same) to 1 (no level in common).
        by_chance: about the distance between random splits of this size.
        p: probability of at least this chi-squared statistic in random splits.
    """

    distance: float
    by_chance: float
    p: float


def level_shift(train: np.ndarray, other: np.ndarray, min_count: int = 0, values_a_row: int = 1) -> Shift | None:
    """Compares the counts of a field's levels in two splits by a chi-squared test.

    Levels are in the vocabulary because they were frequent in the training split. This selection makes them rarer in
    other splits, and the out-of-vocabulary row larger, even if splits are random. Only levels that are frequent enough
    in both splits together to be in the vocabulary under nearly any random split are therefore compared one by one; all
    others are pooled.

    Args:
        train: rows of each level in the training split [L]; the first is out of vocabulary.
        other: the same of another split [L].
        min_count: threshold of the vocabulary in the training split.
        values_a_row: largest number of values in a row. Values of one row come together, so the variance of counts is
            up to this many times larger. The statistic is divided by it (Rao and Scott, 1981), which is conservative.

    Returns:
        None if there are fewer than two levels to compare.
    """
    both, rows = train + other, np.array([train.sum(), other.sum()])
    if not rows.min():
        return None
    share = rows[0] / rows.sum()
    kept = both * share - _SELECTION_DEVIATIONS * np.sqrt(both * share * (1 - share)) >= min_count
    apart = kept & (both * min(share, 1 - share) >= _MIN_EXPECTED)
    apart[0] = False
    table = np.stack([np.append(counts[apart], counts[~apart].sum()) for counts in (train, other)])
    table = table[:, table.sum(axis=0) * min(share, 1 - share) >= _MIN_EXPECTED]
    if table.shape[1] < 2:
        return None
    from scipy.stats import chi2, chi2_contingency

    found = chi2_contingency(table, correction=False)
    pooled = table.sum(axis=0) / table.sum()
    shares = table / table.sum(axis=1, keepdims=True)
    deviations = np.sqrt(pooled * (1 - pooled) * (1 / table.sum(axis=1)).sum() * values_a_row)
    return Shift(
        distance=float(np.abs(shares[0] - shares[1]).sum() / 2),
        by_chance=float(np.sqrt(2 / np.pi) * deviations.sum() / 2),
        p=float(chi2.sf(found.statistic / values_a_row, found.dof)),
    )


def rate_shift(first: np.ndarray, second: np.ndarray) -> float:
    """Probability that random splits differ at least this much in their share of positives.

    Args:
        first: rows with label 0 and 1 of a split [2].
        second: the same of another.
    """
    from scipy.stats import norm

    rows = np.array([first.sum(), second.sum()])
    pooled = (first[1] + second[1]) / max(rows.sum(), 1)
    deviation = np.sqrt(pooled * (1 - pooled) * (1 / np.maximum(rows, 1)).sum())
    difference = abs(first[1] / max(rows[0], 1) - second[1] / max(rows[1], 1))
    return float(2 * norm.sf(difference / deviation)) if deviation else 1.0


def leaking_levels(counts: np.ndarray) -> np.ndarray:
    """Positions of levels with (almost) only positives that the base rate does not explain, by descending count.

    The test is the exact binomial tail: the probability of at least this many positives at the field's base rate.

    Args:
        counts: rows of each level with label 0 and 1 [L, 2].
    """
    from scipy.stats import binom

    rows, positives = counts.sum(axis=1), counts[:, 1]
    if not rows.sum():
        return np.empty(0, np.int64)
    found = np.flatnonzero((positives >= LEAKING_RATE * rows) & (positives > 0))
    tail = binom.sf(positives[found] - 1, rows[found], positives.sum() / rows.sum())
    found = found[tail * np.count_nonzero(rows) < IMPROBABLE]
    return found[np.argsort(-rows[found], kind="stable")]


def field_auc(train: np.ndarray, held_out: np.ndarray) -> float | None:
    """AUC of the rates of positives of a field's levels, learned on some rows and applied to others.

    Args:
        train: rows of each level with label 0 and 1, to learn from [L, 2].
        held_out: the same for the rows to rank [L, 2].

    Returns:
        None if a class has too few rows.
    """
    if min(*train.sum(axis=0), *held_out.sum(axis=0)) < _MIN_OF_A_CLASS:
        return None
    base_rate = train[:, 1].sum() / train.sum()
    from sklearn.metrics import roc_auc_score

    # One more row at the base rate, for levels that have no rows.
    rates = (train[:, 1] + base_rate) / (train.sum(axis=1) + 1)
    seen = held_out.any(axis=1)
    labels = np.repeat([0, 1], seen.sum())
    return float(roc_auc_score(labels, np.tile(rates[seen], 2), sample_weight=held_out[seen].T.ravel()))
