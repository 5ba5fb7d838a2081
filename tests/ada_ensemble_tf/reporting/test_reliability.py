import numpy as np
import pytest

from ada_ensemble_tf.evaluation import metrics
from ada_ensemble_tf.reporting.figures import svg
from ada_ensemble_tf.reporting.reliability import reliability_bins, reliability_figure


def test_bins_by_hand():
    p = np.array([0.9, 0.1, 0.2, 0.8, 0.5, 0.3])
    y = np.array([1, 0, 1, 1, 0, 0])
    bins = reliability_bins(y, p, bins=3)
    assert bins.predicted == pytest.approx([0.15, 0.4, 0.85])
    assert bins.observed.tolist() == [0.5, 0.0, 1.0] and bins.rows.tolist() == [2, 2, 2]
    assert (bins.low <= bins.observed).all() and (bins.observed <= bins.high).all()


def test_fewer_rows_than_bins_and_none():
    assert reliability_bins(np.array([1.0]), np.array([0.3])).rows.tolist() == [1]
    with pytest.raises(ValueError, match="received none"):
        reliability_bins(np.zeros(0), np.zeros(0))


def test_the_bins_give_the_expected_calibration_error():
    rng = np.random.default_rng(3)
    p = rng.random(1003)
    y = (rng.random(1003) < p**2).astype(np.float64)
    bins = reliability_bins(y, p, bins=20)
    error = np.sum(bins.rows * np.abs(bins.predicted - bins.observed)) / 1003
    assert error == pytest.approx(metrics.expected_calibration_error(y, p, bins=20))


def test_the_figure_shows_the_bins_and_counts_all_rows():
    rng = np.random.default_rng(3)
    p = rng.beta(1, 9, 500)
    y = (rng.random(500) < p).astype(np.float64)
    figure = reliability_figure(y, p, bins=5)
    curve, counts = figure.axes
    bins = reliability_bins(y, p, bins=5)
    drawn = next(line for line in curve.lines if line.get_marker() == "o")
    assert (
        drawn.get_xdata().tolist() == bins.predicted.tolist() and drawn.get_ydata().tolist() == bins.observed.tolist()
    )
    assert sum(bar.get_height() for bar in counts.patches) == 500
    assert "Reliability" in svg(figure, "r", "x")
