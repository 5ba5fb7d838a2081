import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_curve

from ada_ensemble_tf.evaluation import metrics
from ada_ensemble_tf.reporting.ranking import POINTS, average_precision, ranking, ranking_figure, thinned


def rows(count: int, weighted: bool):
    rng = np.random.default_rng(5)
    # Few different predictions, so that many rows tie.
    p = np.round(rng.random(count), 2)
    weights = rng.integers(0, 4, count).astype(np.float64) if weighted else None
    return (rng.random(count) < p).astype(np.float64), p, weights


def test_shares_by_hand():
    found = ranking(np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.9, 0.5, 0.5, 0.1]))
    assert found.recall.tolist() == [0.0, 0.5, 1.0, 1.0] and found.false_positives.tolist() == [0.0, 0.0, 0.5, 1.0]
    assert found.precision == pytest.approx([1.0, 1.0, 2 / 3, 0.5])
    assert average_precision(found) == pytest.approx(0.5 + 0.5 * 2 / 3)


@pytest.mark.parametrize("weighted", [False, True])
def test_curves_are_those_of_scikit_learn(weighted):
    y, p, w = rows(800, weighted)
    found = ranking(y, p, w)
    false_positives, recall, _ = roc_curve(y, p, sample_weight=w, drop_intermediate=False)
    np.testing.assert_allclose(found.false_positives, false_positives, atol=1e-12)
    np.testing.assert_allclose(found.recall, recall, atol=1e-12)
    precision, recall, _ = precision_recall_curve(y, p, sample_weight=w)
    np.testing.assert_allclose(found.precision[::-1], precision, atol=1e-12)
    np.testing.assert_allclose(found.recall[::-1], recall, atol=1e-12)
    assert average_precision(found) == pytest.approx(average_precision_score(y, p, sample_weight=w))
    area = np.trapezoid(found.recall, found.false_positives)
    assert area == pytest.approx(metrics.auc(y, p, w))


def test_a_thinned_curve_keeps_its_ends_its_area_and_few_points():
    rng = np.random.default_rng(1)
    p = rng.random(40_000)
    y = (rng.random(40_000) < p).astype(np.float64)
    found = ranking(y, p)
    x, height = thinned(found.false_positives, found.recall)
    assert len(x) <= POINTS < len(found.recall) and (x[0], x[-1], height[0], height[-1]) == (0.0, 1.0, 0.0, 1.0)
    assert np.trapezoid(height, x) == pytest.approx(metrics.auc(y, p), abs=1e-4)


def test_the_figure_draws_all_models_and_what_chance_gives():
    y, p, _ = rows(300, False)
    roc, pr = ranking_figure(y, {"mine": p, "other": 1.0 - p}).axes
    assert [line.get_label() for line in roc.lines] == [
        f"mine: AUC {metrics.auc(y, p):.4f}", f"other: AUC {1.0 - metrics.auc(y, p):.4f}", "chance: AUC 0.5",
    ]  # fmt: skip
    assert pr.lines[-1].get_ydata() == [y.mean()] * 2
    assert roc.lines[0].get_ydata()[-1] == 1.0 and roc.lines[0].get_xdata()[0] == 0.0
