"""DeLong's test compared with values by hand, scikit-learn's AUC and the bootstrap."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from ada_ensemble_tf.evaluation.delong import delong


def made_up(rows: int, seed: int, decimals: int = 2):
    """Labels and two correlated predictions with ties, the second one weaker."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(rows) < 0.3).astype(np.uint8)
    signal = labels + rng.normal(0, 1.5, rows)
    a, b = signal + rng.normal(0, 0.5, rows), signal + rng.normal(0, 1.0, rows)
    return labels, np.round(a, decimals).astype(np.float32), np.round(b, decimals).astype(np.float32)


def test_a_case_by_hand():
    """Positives 0.8 and 0.4, negatives 0.6 and 0.2; the other ranks all positives first."""
    labels = np.array([1, 1, 0, 0])
    result = delong(labels, np.array([0.8, 0.4, 0.6, 0.2]), np.array([0.9, 0.8, 0.2, 0.1]))
    # Placements of the positives 1, 1/2, of the negatives 1/2, 1; those of the other are all 1. Both differences are
    # (0, -1/2) in some order: variance 1/8, over two rows each.
    assert (result.auc, result.other_auc) == (0.75, 1.0)
    assert result.standard_error == pytest.approx(np.sqrt(1 / 8 / 2 + 1 / 8 / 2))
    assert result.z == pytest.approx(-0.25 / np.sqrt(0.125))
    assert result.p == pytest.approx(2 * norm.cdf(-0.25 / np.sqrt(0.125)))


def test_aucs_are_scikit_learns_also_with_ties():
    labels, a, b = made_up(2000, seed=1, decimals=0)
    result = delong(labels, a, b)
    assert result.auc == pytest.approx(roc_auc_score(labels, a), abs=1e-12)
    assert result.other_auc == pytest.approx(roc_auc_score(labels, b), abs=1e-12)


def test_the_standard_error_is_that_of_the_bootstrap():
    labels, a, b = made_up(1500, seed=2)
    rng = np.random.default_rng(3)
    differences = []
    for _ in range(400):
        rows = rng.integers(0, len(labels), len(labels))
        differences.append(roc_auc_score(labels[rows], a[rows]) - roc_auc_score(labels[rows], b[rows]))
    # The standard error of a standard deviation of 400 draws is 3.5 %.
    assert delong(labels, a, b).standard_error == pytest.approx(np.std(differences), rel=0.12)


def test_p_is_uniform_where_both_models_are_equally_good():
    p_values = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        labels = rng.random(200) < 0.4
        noisy = labels + rng.normal(0, 1.0, (2, 200))
        p_values.append(delong(labels, *noisy).p)
    # 15 of 300 are expected below 5 %, with a standard deviation of 3.8.
    assert 5 <= np.sum(np.array(p_values) < 0.05) <= 27


def test_swapping_the_models_turns_the_sign():
    labels, a, b = made_up(500, seed=4)
    one, other = delong(labels, a, b), delong(labels, b, a)
    assert one.z == -other.z != 0.0 and one.p == other.p


def test_models_that_rank_alike_do_not_differ():
    labels, a, _ = made_up(500, seed=5)
    result = delong(labels, a, 2.0 * a + 1.0)
    assert (result.standard_error, result.z, result.p) == (0.0, 0.0, 1.0)


def test_a_difference_without_variance_is_certain():
    labels = np.array([1, 1, 0, 0])
    result = delong(labels, np.array([1.0, 1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0, 1.0]))
    assert result.z == np.inf and result.p == 0.0


def test_wrong_input():
    with pytest.raises(ValueError, match="two rows of each label; received 1 positives, 2 negatives"):
        delong(np.array([1, 0, 0]), np.zeros(3), np.zeros(3))
    with pytest.raises(ValueError, match="differ in length: 3, 3, 2"):
        delong(np.array([1, 0, 0]), np.zeros(3), np.zeros(2))
