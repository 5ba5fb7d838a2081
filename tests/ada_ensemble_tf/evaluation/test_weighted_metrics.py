"""Metrics with weights: scikit-learn's figures, and a row of weight 2 is two rows."""

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from ada_ensemble_tf.evaluation import metrics
from ada_ensemble_tf.evaluation.delong import delong
from ada_ensemble_tf.evaluation.intervals import auc_interval, bootstrap_intervals, metric_intervals

RNG = np.random.default_rng(0)
ROWS = 500
P = RNG.uniform(0.02, 0.9, ROWS).round(2)
LABELS = (RNG.random(ROWS) < P).astype(np.float32)
WEIGHTS = RNG.exponential(2.0, ROWS).astype(np.float32) * (RNG.random(ROWS) < 0.9)
COUNTS = RNG.integers(0, 4, ROWS)
GROUPS = RNG.integers(0, 6, ROWS)


def test_figures_are_those_of_scikit_learn():
    found = metrics.all_metrics(LABELS, P, WEIGHTS)
    wide = WEIGHTS.astype(np.float64)
    expected = log_loss(LABELS, P, sample_weight=wide)
    assert found["auc"] == pytest.approx(roc_auc_score(LABELS, P, sample_weight=wide), abs=1e-9)
    assert found["logloss"] == pytest.approx(expected, abs=1e-9)
    rate = np.average(LABELS, weights=wide)
    entropy = log_loss(LABELS, np.full(ROWS, rate), sample_weight=wide)
    assert found["normalized_entropy"] == pytest.approx(expected / entropy, abs=1e-9)
    assert found["calibration"] == pytest.approx(np.average(P, weights=wide) / rate, abs=1e-9)
    assert found["rows"] == ROWS


def test_a_row_of_weight_two_is_two_rows():
    repeated = [np.repeat(x, COUNTS) for x in (LABELS, P, GROUPS)]
    weighted, plain = metrics.all_metrics(LABELS, P, COUNTS), metrics.all_metrics(*repeated[:2])
    for name in ("auc", "logloss", "normalized_entropy", "calibration"):
        assert weighted[name] == pytest.approx(plain[name], abs=1e-12)
    assert metrics.grouped_auc(LABELS, P, GROUPS, COUNTS) == pytest.approx(metrics.grouped_auc(*repeated), abs=1e-12)
    # One group of all rows is the difference of the means.
    error = metrics.expected_calibration_error(LABELS, P, COUNTS, bins=1)
    assert error == pytest.approx(abs(repeated[1].mean() - repeated[0].mean(dtype=float)), abs=1e-12)


def test_calibration_error_by_hand_and_without_weights():
    labels, p = np.array([0.0, 1.0, 1.0]), np.array([0.2, 0.4, 0.8])
    # Half of the weight is on the first two rows.
    found = metrics.expected_calibration_error(labels, p, np.array([3.0, 1.0, 4.0]), bins=2)
    assert found == pytest.approx(0.5 * abs((0.6 + 0.4) / 4 - 0.25) + 0.5 * 0.2)
    ones = metrics.expected_calibration_error(LABELS, P, np.ones(ROWS))
    assert ones == pytest.approx(metrics.expected_calibration_error(LABELS, P), abs=1e-12)


def test_weights_without_a_class_have_no_metrics():
    found = metrics.all_metrics(LABELS, P, (LABELS == 0).astype(float))
    assert all(np.isnan(found[name]) for name in ("auc", "normalized_entropy", "calibration"))
    assert np.isnan(metrics.all_metrics(LABELS, P, np.zeros(ROWS))["logloss"])


def test_delong_with_weights():
    other = np.clip(P + RNG.normal(0, 0.2, ROWS), 0, 1)
    plain = delong(LABELS, P, other)
    for equal in (np.ones(ROWS), np.full(ROWS, 3.0)):
        assert delong(LABELS, P, other, equal) == pytest.approx(plain, rel=1e-9)
    weighted = delong(LABELS, P, other, WEIGHTS)
    assert weighted.auc == pytest.approx(metrics.auc(LABELS, P, WEIGHTS), abs=1e-9)
    assert weighted.other_auc == pytest.approx(metrics.auc(LABELS, other, WEIGHTS), abs=1e-9)
    # Rows of weight 0 are no rows.
    chosen = WEIGHTS > 0
    assert weighted == pytest.approx(delong(LABELS[chosen], P[chosen], other[chosen], WEIGHTS[chosen]), rel=1e-9)


def test_the_weighted_standard_error_is_that_of_resampled_rows():
    errors = [
        metrics.auc(LABELS[rows], P[rows], WEIGHTS[rows])
        for rows in np.random.default_rng(1).integers(0, ROWS, (600, ROWS))
    ]
    interval = auc_interval(LABELS, P, WEIGHTS)
    assert (interval.high - interval.low) / 2 / 1.96 == pytest.approx(np.std(errors), rel=0.12)


def test_bootstrap_of_weighted_rows():
    found = bootstrap_intervals(LABELS, P, weights=WEIGHTS)
    expected = metrics.all_metrics(LABELS, P, WEIGHTS)
    for name, interval in metric_intervals(LABELS, P, weights=WEIGHTS).items():
        assert interval.value == pytest.approx(expected[name], abs=1e-9)
        assert interval.low < interval.value < interval.high
    assert found["calibration"] != bootstrap_intervals(LABELS, P)["calibration"]
    assert bootstrap_intervals(LABELS, P, weights=np.ones(ROWS)) == bootstrap_intervals(LABELS, P)
