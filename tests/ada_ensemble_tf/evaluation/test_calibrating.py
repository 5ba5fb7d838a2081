"""Calibrations fitted to labels whose true rates are known."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression

from ada_ensemble_tf.evaluation import metrics
from ada_ensemble_tf.evaluation.calibrating import FITS, fit_isotonic, fit_temperature, logits_of
from ada_ensemble_tf.trained.config_ranges import RANGES


@pytest.fixture(scope="module")
def over_confident():
    """(labels, predictions whose logits are twice the true ones), of 20,000 rows."""
    rng = np.random.default_rng(3)
    logits = rng.normal(-1.0, 1.0, 20_000)
    labels = (rng.random(len(logits)) < expit(logits)).astype(np.float32)
    return labels, expit(2.0 * logits).astype(np.float32)


def calibrated(fit, labels, probabilities) -> np.ndarray:
    return tf.sigmoid(fit(labels, probabilities)(tf.constant(logits_of(probabilities)))).numpy()


def test_the_temperature_is_found(over_confident):
    assert abs(fit_temperature(*over_confident).temperature - 2.0) < 0.05


def test_isotonic_rates_are_the_click_rates_of_the_levels():
    """Of four predictions with 20 rows each, the second and third are in the wrong order: they are pooled."""
    p, clicks = np.repeat([0.1, 0.3, 0.4, 0.8], 20), (1, 8, 6, 20)
    labels = np.concatenate([np.arange(20) < count for count in clicks]).astype(np.float32)
    calibration = fit_isotonic(labels, p)
    levels = logits_of(np.array([0.1, 0.3, 0.4, 0.8]))
    np.testing.assert_allclose(calibration.logits, [levels[0], levels[1:3].mean(), levels[3]], rtol=1e-9)
    np.testing.assert_allclose(expit(calibration.calibrated), [0.05, 0.35, 1 - 0.5 / 80], rtol=1e-9)


def test_isotonic_points_keep_the_order_and_their_distance(over_confident):
    labels, p = over_confident
    calibration, after = fit_isotonic(labels, p), calibrated(fit_isotonic, labels, p)
    assert len(calibration.logits) > 20 and np.diff(calibration.logits).min() >= 0.05
    assert (np.diff(after[np.argsort(p, kind="stable")]) >= -1e-6).all()
    # Only the ends are flat.
    assert abs(metrics.auc(labels, after) - metrics.auc(labels, p)) < 1e-3
    steps = IsotonicRegression(out_of_bounds="clip").fit_transform(p, labels)
    assert np.abs(after - steps).mean() < 0.01


@pytest.mark.parametrize("name", FITS)
def test_errors_of_other_rows_shrink(over_confident, name):
    labels, p = over_confident
    calibration = FITS[name](labels[::2], p[::2])
    after = tf.sigmoid(calibration(tf.constant(logits_of(p[1::2])))).numpy()
    errors = [metrics.expected_calibration_error(labels[1::2], one) for one in (p[1::2], after)]
    assert errors[1] < 0.3 * errors[0]
    assert metrics.logloss(labels[1::2], after) < metrics.logloss(labels[1::2], p[1::2])


def test_certain_predictions_give_a_finite_calibration():
    labels, p = np.array([0.0, 1.0, 1.0, 0.0]), np.array([0.0, 1.0, 1.0, 0.0], np.float32)
    for fit in FITS.values():
        assert np.isfinite(calibrated(fit, labels, p)).all()


def test_each_fit_is_a_value_of_the_config():
    assert set(RANGES["calibration"]) == {"none", *FITS}
