import numpy as np
import pytest

from ada_ensemble_tf.evaluation import metrics


def pair_counting_auc(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The share of (positive, negative) pairs in the right order; ties count half."""
    positives, negatives = probabilities[labels == 1], probabilities[labels == 0]
    score = 0.0
    for p in positives:
        for n in negatives:
            score += 1.0 if p > n else 0.5 if p == n else 0.0
    return score / (len(positives) * len(negatives))


def made_up(rows: int, seed: int, ties: bool = True) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(rows) < 0.3).astype(np.float32)
    probabilities = np.clip(0.2 * labels + 0.7 * rng.random(rows), 0, 1)
    return labels, (np.round(probabilities, 1) if ties else probabilities).astype(np.float32)


@pytest.mark.parametrize("ties", [False, True])
def test_auc_counts_pairs(ties):
    labels, probabilities = made_up(200, seed=0, ties=ties)
    expected = pair_counting_auc(labels, probabilities)
    assert metrics.auc(labels, probabilities) == pytest.approx(expected, abs=1e-12)


def test_auc_of_a_constant_is_a_half():
    assert metrics.auc(np.array([0, 1, 1]), np.full(3, 0.2)) == 0.5


@pytest.mark.parametrize("label", [0, 1])
def test_auc_of_one_class_is_nan(label):
    assert np.isnan(metrics.auc(np.full(4, label), np.array([0.1, 0.2, 0.3, 0.4])))


def test_logloss_by_hand():
    value = metrics.logloss(np.array([1, 0, 1]), np.array([0.5, 0.25, 0.8]))
    assert value == pytest.approx(-(np.log(0.5) + np.log(0.75) + np.log(0.8)) / 3)


def test_logloss_keeps_certainty_finite():
    # The smallest and largest probabilities count as 1e-7 and 1 - 1e-7.
    value = metrics.logloss(np.array([1, 0]), np.array([0.0, 1.0], np.float32))
    assert value == pytest.approx(-np.log(1e-7))
    assert metrics.logloss(np.array([1, 0]), np.array([1.0, 0.0], np.float32)) == pytest.approx(1e-7)


def test_normalized_entropy_of_the_base_rate_is_one():
    labels = np.array([1, 0, 0, 0, 1, 0, 0])
    assert metrics.normalized_entropy(labels, np.full(7, 2 / 7)) == pytest.approx(1, abs=1e-12)


def test_normalized_entropy_by_hand():
    labels = np.array([1, 0])
    expected = -(np.log(0.75) + np.log(0.6)) / 2 / np.log(2)
    assert metrics.normalized_entropy(labels, np.array([0.75, 0.4])) == pytest.approx(expected)


def test_calibration_is_the_ratio_of_the_means():
    value = metrics.calibration(np.array([1, 0, 0, 1]), np.array([0.5, 0.25, 0.25, 0.5]))
    assert value == pytest.approx(0.75)
    assert np.isnan(metrics.calibration(np.zeros(3), np.full(3, 0.1)))


def test_calibration_of_many_float32_rows_keeps_its_digits():
    """A float32 sum of a million probabilities would be off in the fourth digit."""
    probabilities = np.full(1_000_000, 0.3, np.float32)
    labels = (np.arange(1_000_000) % 10 < 3).astype(np.float32)
    assert metrics.calibration(labels, probabilities) == pytest.approx(1, abs=1e-6)


def test_expected_calibration_error_by_hand():
    # Sorted by prediction the groups are {.1, .2}, {.3, .5}, {.9}: of 5 rows the first groups get one more.
    probabilities = np.array([0.9, 0.1, 0.5, 0.2, 0.3])
    labels = np.array([1, 0, 0, 1, 1])
    expected = (2 * abs(0.15 - 0.5) + 2 * abs(0.4 - 0.5) + 1 * abs(0.9 - 1.0)) / 5
    assert metrics.expected_calibration_error(labels, probabilities, bins=3) == pytest.approx(expected)


def test_expected_calibration_error_of_one_bin_is_the_gap_of_the_means():
    labels, probabilities = made_up(100, seed=3)
    expected = abs(labels.mean(dtype=float) - probabilities.mean(dtype=float))
    assert metrics.expected_calibration_error(labels, probabilities, bins=1) == pytest.approx(expected)


def test_expected_calibration_error_of_fewer_rows_than_bins_is_the_mean_gap():
    error = metrics.expected_calibration_error(np.array([1, 0]), np.array([0.7, 0.1]))
    assert error == pytest.approx((0.3 + 0.1) / 2)


def test_grouped_auc_by_hand():
    groups = np.array([7, 3, 5, 7, 3, 5, 7])
    labels = np.array([1, 1, 0, 0, 0, 0, 0])
    probabilities = np.array([0.4, 0.9, 0.1, 0.4, 0.2, 0.3, 0.6])
    # Group 3 has a 1 above a 0; group 5 one class; group 7 0.4 against 0.4, a tie, and 0.6.
    assert metrics.grouped_auc(labels, probabilities, groups) == pytest.approx((2 * 1.0 + 3 * 0.25) / 5)


def test_grouped_auc_of_one_group_is_the_auc():
    labels, probabilities = made_up(100, seed=4)
    expected = metrics.auc(labels, probabilities)
    assert metrics.grouped_auc(labels, probabilities, np.zeros(100, int)) == pytest.approx(expected)


def test_grouped_auc_without_a_group_of_both_classes_is_nan():
    groups, labels = np.array([0, 0, 1]), np.array([1, 1, 0])
    assert np.isnan(metrics.grouped_auc(labels, np.array([0.1, 0.2, 0.3]), groups))


def test_all_metrics_are_those_of_each_function():
    labels, probabilities = made_up(300, seed=5)
    values = metrics.all_metrics(labels, probabilities)
    assert values.pop("rows") == 300
    assert values == {name: getattr(metrics, name)(labels, probabilities) for name in values}
    assert set(values) == {
        "auc", "logloss", "normalized_entropy", "calibration", "expected_calibration_error"
    }  # fmt: skip
