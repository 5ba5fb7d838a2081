import keras
import numpy as np
import pytest
import tensorflow as tf
from layer_checks import check_gradients, check_zero_rows, config_round_trip, random_weights, round_trip

from ada_ensemble_tf.layers.estimator import Estimator

X = np.array([[1, 2, 3], [0, -1, 1]], np.float32)


def test_logit_by_hand():
    layer = Estimator()
    layer.build((None, 3))
    layer.kernel.assign([10, 1, 0.5])
    layer.bias.assign(-4)
    logit = layer(X)
    assert logit.dtype == tf.float32
    assert logit.numpy().tolist() == [10 + 2 + 1.5 - 4, -1 + 0.5 - 4]


def test_starts_at_the_initial_logit_with_a_glorot_kernel():
    keras.utils.set_random_seed(0)
    layer = Estimator(initial_logit=-1.25)
    layer.build((None, 2000))
    assert layer(np.zeros((1, 2000), np.float32)).numpy().tolist() == [-1.25]
    bound = np.sqrt(6 / 2001)
    kernel = layer.kernel.numpy()
    assert np.abs(kernel).max() <= bound
    # Of a uniform distribution; 2,000 values give it within 2 %.
    assert kernel.std() == pytest.approx(bound / np.sqrt(3), rel=0.06)


def test_gradients_agree_with_differences():
    layer = Estimator()
    layer.build((None, 3))
    random_weights(layer)
    # The logit is linear: a step of 0.5 costs no accuracy.
    check_gradients(layer, X, step=0.5, rtol=1e-5, atol=1e-5)


def test_no_rows():
    layer = Estimator()
    layer.build((None, 3))
    check_zero_rows(layer, X)


def test_flops_count_two_a_weight():
    layer = Estimator()
    layer.build((None, 624))
    assert layer.flops() == 1248


def test_saved_and_loaded():
    layer = Estimator(initial_logit=0.5)
    layer.build((None, 3))
    random_weights(layer)
    before, after = round_trip(layer, X)
    assert before.shape == (2,)
    np.testing.assert_array_equal(before, after)
    assert config_round_trip(layer).initial_logit == 0.5


def test_hidden_layers_beside_the_linear_part_by_hand():
    layer = Estimator(initial_logit=-1.0, hidden_units=(2,))
    layer.build((None, 3))
    layer.kernel.assign([1, 0, 0])
    layer.mlp.dense_layers[0].kernel.assign([[1, -1], [1, 0], [0, 0]])
    layer.mlp_kernel.assign([10, 100])
    # ReLU([x1 + x2, -x1]) is [3, 0] and [0, 0].
    assert layer(X).numpy().tolist() == [1 + 30 - 1, 0 - 1]
    assert layer.flops() == 2 * 3 + 2 * 3 * 2 + 2 * 2
    random_weights(layer)
    before, after = round_trip(layer, X)
    np.testing.assert_array_equal(before, after)
    check_zero_rows(layer, X)
