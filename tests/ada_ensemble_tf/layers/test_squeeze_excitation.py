import numpy as np
import pytest
import tensorflow as tf
from layer_checks import check_gradients, check_zero_rows, config_round_trip, float64_layers, random_weights, round_trip

from ada_ensemble_tf.layers.squeeze_excitation import SqueezeExcitation

X = np.random.default_rng(3).normal(size=(5, 8)).astype("float32")


def built(num_fields: int = 4, reduction: int = 2, width: int = 8) -> SqueezeExcitation:
    layer = SqueezeExcitation(num_fields, reduction)
    layer.build((None, width))
    return layer


def test_by_hand():
    layer = built(2, 1, 4)
    layer.squeeze.kernel.assign([[1.0, 0.0], [2.0, -1.0]])
    layer.excite.kernel.assign([[0.5, -1.0], [7.0, 3.0]])
    # Means 2 and 5; relu(2 + 10, -5) = (12, 0); relu(6, -12) = (6, 0).
    np.testing.assert_allclose(layer(tf.constant([[1.0, 3.0, 4.0, 6.0]])), [[6.0, 18.0, 0.0, 0.0]])
    # Means 2 and -2; relu(-2, 2) = (0, 2); relu(14, 6).
    np.testing.assert_allclose(layer(tf.constant([[1.0, 3.0, -5.0, 1.0]])), [[14.0, 42.0, -30.0, 6.0]])
    # Two sums of 2, two kernels of 2 x 2, four weighted values.
    assert layer.flops() == 4 + 2 * 8 + 4


@pytest.mark.parametrize(("num_fields", "reduction", "units"), [(4, 2, 2), (8, 3, 2), (2, 3, 1)])
def test_agrees_with_numpy(num_fields, reduction, units):
    layer = built(num_fields, reduction)
    weights = random_weights(layer, seed=1)
    assert weights["squeeze/kernel"].shape == (num_fields, units)
    fields = X.reshape(5, num_fields, -1)
    squeezed = np.maximum(fields.mean(axis=2) @ weights["squeeze/kernel"], 0)
    excited = np.maximum(squeezed @ weights["excite/kernel"], 0)
    # Some but not all fields of the rows are let through.
    assert 0 < (excited > 0).mean() < 1
    np.testing.assert_allclose(layer(X), (fields * excited[:, :, None]).reshape(5, 8), rtol=1e-5, atol=1e-6)


def test_gradients_zero_rows_and_round_trips():
    with float64_layers():
        layer = built()
        random_weights(layer, seed=1)
        assert np.any(layer(X))
        check_gradients(layer, X.astype("float64"))
    layer = built()
    random_weights(layer, seed=1)
    check_zero_rows(layer, X)
    before, after = round_trip(layer, X)
    np.testing.assert_array_equal(before, after)
    assert config_round_trip(layer).get_config() == layer.get_config()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_fields": 0}, "num_fields and reduction must be at least 1; received num_fields=0 and reduction=2"),
        ({"reduction": 0}, "num_fields and reduction must be at least 1; received num_fields=4 and reduction=0"),
        ({"num_fields": 3}, "the width M of x must be a multiple of num_fields; received M=8 and num_fields=3"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        built(**arguments)
