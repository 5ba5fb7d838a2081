import itertools

import numpy as np
import pytest

from ada_ensemble_tf.evaluation import metrics
from ada_ensemble_tf.evaluation.intervals import Interval, auc_interval, bootstrap_intervals, metric_intervals, wilson


def test_auc_interval_is_delongs_by_the_definition():
    """All pairs of a positive and a negative, whose means by row are the structural components."""
    y = np.array([1, 0, 1, 0, 0, 1, 0])
    p = np.array([0.9, 0.3, 0.4, 0.5, 0.1, 0.5, 0.2])
    wins = np.array([[1.0 if a > b else 0.5 if a == b else 0.0 for b in p[y == 0]] for a in p[y == 1]])
    variance = np.var(wins.mean(axis=1), ddof=1) / 3 + np.var(wins.mean(axis=0), ddof=1) / 4
    found = auc_interval(y, p)
    assert found.value == pytest.approx(wins.mean())
    assert found.low == pytest.approx(wins.mean() - 1.959964 * np.sqrt(variance))
    assert found.high == pytest.approx(min(1.0, wins.mean() + 1.959964 * np.sqrt(variance)))


def test_auc_has_no_interval_with_one_row_of_a_label():
    found = auc_interval(np.array([1, 0, 0]), np.array([0.9, 0.1, 0.2]))
    assert found.value == 1.0 and np.isnan(found.low) and np.isnan(found.high)
    assert not found.excludes(0.5)


@pytest.fixture(scope="module")
def rows():
    """More rows than there are groups: labels and the predictions they were drawn from."""
    rng = np.random.default_rng(5)
    p = rng.beta(2, 6, 5000)
    return (rng.random(5000) < p).astype(np.float64), p


def test_bootstrap_estimates_are_the_metrics(rows):
    found = metric_intervals(*rows)
    for name, one in found.items():
        assert one.value == pytest.approx(metrics.all_metrics(*rows)[name]), name
        assert one.low < one.value < one.high, name
    assert found.keys() == {"auc", "logloss", "normalized_entropy", "calibration"}


def test_bootstrap_widths_are_those_of_the_normal_approximation(rows):
    y, p = rows
    found = bootstrap_intervals(y, p)
    losses = -np.where(y > 0.5, np.log(p), np.log1p(-p))
    errors = {"logloss": losses.std() / np.sqrt(5000), "calibration": (p - found["calibration"].value * y).std()}
    errors["calibration"] /= np.sqrt(5000) * y.mean()
    for name, error in errors.items():
        assert found[name].high - found[name].low == pytest.approx(2 * 1.96 * error, rel=0.1), name


def test_bootstrap_is_the_same_each_time_and_differs_by_seed(rows):
    assert bootstrap_intervals(*rows) == bootstrap_intervals(*rows) != bootstrap_intervals(*rows, seed=1)


def test_a_split_without_clicks_has_no_calibration():
    found = bootstrap_intervals(np.zeros(10), np.full(10, 0.1))
    assert np.isnan(found["calibration"].low) and found["logloss"].value == pytest.approx(-np.log(0.9))


def test_wilson_solves_its_equation():
    for positives, rows in itertools.product([0, 3, 10], [10, 400]):
        for end in wilson(np.array(positives), np.array(rows)):
            share = positives / rows
            assert (share - end) ** 2 == pytest.approx(1.959964**2 * end * (1 - end) / rows, abs=1e-12)


def test_excludes():
    assert Interval(1.2, 1.1, 1.3).excludes(1.0) and not Interval(1.2, 0.9, 1.3).excludes(1.0)
