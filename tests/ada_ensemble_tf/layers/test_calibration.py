"""Calibrations as maps of logits."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.layers.calibration import Calibration
from ada_ensemble_tf.models import LogisticRegression


@pytest.mark.parametrize("points", [((-2.0, -1.0, 0.5, 3.0), (-4.0, -0.5, -0.5, 1.0)), ((0.3,), (-1.5,))])
def test_an_isotonic_map_is_numpys_interpolation(points):
    logits = np.array([-9.0, -2.0, -1.5, -1.0, 0.0, 0.3, 0.5, 2.0, 3.0, 9.0], np.float32)
    mapped = Calibration("isotonic", logits=points[0], calibrated=points[1])(tf.constant(logits))
    np.testing.assert_allclose(mapped, np.interp(logits, *points), atol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "isotonic"}, "received 0 and 0"),
        ({"kind": "isotonic", "logits": [0.0, 1.0], "calibrated": [0.0]}, "received 2 and 1"),
        ({"kind": "isotonic", "logits": [1.0, 1.0], "calibrated": [0.0, 1.0]}, "logits must increase"),
        ({"kind": "isotonic", "logits": [0.0, 1.0], "calibrated": [1.0, 0.0]}, "calibrated must not decrease"),
        ({"kind": "temperature", "temperature": 0.0}, "Expected `float` > 0.0"),
        ({"kind": "platt"}, "Invalid enum value 'platt'"),
    ],
)
def test_a_malformed_config_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Calibration.from_config(wrong)


@pytest.mark.parametrize(
    "calibration",
    [Calibration("temperature", temperature=2.5), Calibration("isotonic", logits=(-1.0, 1.0), calibrated=(0.0, 0.5))],
)
def test_a_model_predicts_calibrated_and_a_keras_file_remembers_it(calibration, tmp_path):
    model = LogisticRegression(num_rows=4, num_fields=2, initial_logit=0.5)
    rows = tf.constant([[0, 2], [1, 3]])
    assert "calibration" not in model.get_config()
    logit = model.forward(rows).logit
    model.calibration = calibration
    expected = tf.sigmoid(calibration(logit)).numpy()
    assert abs(expected - tf.sigmoid(logit).numpy()).min() > 0.01
    np.testing.assert_array_equal(model(rows), expected)
    np.testing.assert_array_equal(model.forward(rows).logit, logit)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.calibration == calibration
    np.testing.assert_array_equal(loaded(rows), expected)
