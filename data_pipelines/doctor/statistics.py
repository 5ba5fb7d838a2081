"""Which differences between counts chance explains, and which it does not.

Splits are drawn at random, so any difference between them that chance does not explain is a sign that something
went wrong. Thousands of levels are looked at: chance counts as excluded below a probability of `IMPROBABLE` divided
by the number of comparisons (Bonferroni), so that sound data raise one false alarm in a million check-ups, or, as
the tails of counts are a little heavier than those of the approximations used here, in some ten thousand.

Legend: L levels of a field.
"""

import dataclasses

import numpy as np
import scipy.stats
import sklearn.metrics

IMPROBABLE = 1e-6
LEAKING_RATE = 0.95
"""A level with at least this share of positives may give the label away."""
GIVEN_AWAY_AUC = 0.99
NEARLY_GIVEN_AWAY_AUC = 0.9
_MIN_OF_A_CLASS = 20
"""Rows of each class below which an AUC is too uncertain to be told: at 0.5, its standard error is 0.06."""
_MIN_EXPECTED = 10
"""Rows of a level expected in either split; rarer levels are taken together, where a normal count is no longer one."""
_SELECTION_DEVIATIONS = 5


@dataclasses.dataclass(frozen=True)
class Shift:
    """How far the levels of a field are distributed otherwise in a split than in training.

    Attributes:
        distance: total variation, 0 (the same) to 1 (no level in common).
        by_chance: about what random splits of this size have.
        p: probability of at least this chi-squared statistic in random splits.
    """

    distance: float
    by_chance: float
    p: float


def level_shift(train: np.ndarray, other: np.ndarray, min_count: int = 0, values_a_row: int = 1) -> Shift | None:
    """Compares the counts of a field's levels in two splits by a chi-squared test.

    That levels are in the vocabulary because they were frequent in the training split makes them rarer everywhere
    else, and the out-of-vocabulary row larger, even of random splits. So only those levels are told apart that would
    be in the vocabulary under nearly any random split, given how frequent they are in both splits together; all
    others are one.

    Args:
        train: rows of each level in the training split [L]; the first is out of vocabulary.
        other: the same of another split [L].
        min_count: what the vocabulary asked for in the training split.
        values_a_row: the most values of a row. They come together, which makes counts vary up to so many times more
            than those of single values; the statistic is divided by it (Rao and Scott, 1981), erring on the safe side.

    Returns:
        None where there are not two levels to compare.
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
    found = scipy.stats.chi2_contingency(table, correction=False)
    pooled = table.sum(axis=0) / table.sum()
    shares = table / table.sum(axis=1, keepdims=True)
    deviations = np.sqrt(pooled * (1 - pooled) * (1 / table.sum(axis=1)).sum() * values_a_row)
    return Shift(
        distance=float(np.abs(shares[0] - shares[1]).sum() / 2),
        by_chance=float(np.sqrt(2 / np.pi) * deviations.sum() / 2),
        p=float(scipy.stats.chi2.sf(found.statistic / values_a_row, found.dof)),
    )


def rate_shift(first: np.ndarray, second: np.ndarray) -> float:
    """Probability that random splits differ at least so much in their share of positives.

    Args:
        first: rows with label 0 and 1 of a split [2].
        second: the same of another.
    """
    rows = np.array([first.sum(), second.sum()])
    pooled = (first[1] + second[1]) / max(rows.sum(), 1)
    deviation = np.sqrt(pooled * (1 - pooled) * (1 / np.maximum(rows, 1)).sum())
    difference = abs(first[1] / max(rows[0], 1) - second[1] / max(rows[1], 1))
    return float(2 * scipy.stats.norm.sf(difference / deviation)) if deviation else 1.0


def leaking_levels(counts: np.ndarray) -> np.ndarray:
    """Positions of levels with (almost) only positives that the base rate does not explain, by falling count.

    By the exact binomial tail: the probability of at least so many positives at the field's base rate.

    Args:
        counts: rows of each level with label 0 and 1 [L, 2].
    """
    rows, positives = counts.sum(axis=1), counts[:, 1]
    if not rows.sum():
        return np.empty(0, np.int64)
    found = np.flatnonzero((positives >= LEAKING_RATE * rows) & (positives > 0))
    tail = scipy.stats.binom.sf(positives[found] - 1, rows[found], positives.sum() / rows.sum())
    found = found[tail * np.count_nonzero(rows) < IMPROBABLE]
    return found[np.argsort(-rows[found], kind="stable")]


def field_auc(train: np.ndarray, held_out: np.ndarray) -> float | None:
    """AUC of the rates of a field's levels, learned on some rows, over others.

    Args:
        train: rows of each level with label 0 and 1, to learn from [L, 2].
        held_out: the same of the rows to order [L, 2].

    Returns:
        None where a class has too few rows.
    """
    if min(*train.sum(axis=0), *held_out.sum(axis=0)) < _MIN_OF_A_CLASS:
        return None
    base_rate = train[:, 1].sum() / train.sum()
    # One row at the base rate more, for levels without any.
    rates = (train[:, 1] + base_rate) / (train.sum(axis=1) + 1)
    seen = held_out.any(axis=1)
    labels = np.repeat([0, 1], seen.sum())
    return float(sklearn.metrics.roc_auc_score(labels, np.tile(rates[seen], 2), sample_weight=held_out[seen].T.ravel()))
