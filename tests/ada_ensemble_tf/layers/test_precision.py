"""Layers under mixed precision: results are rounded once, sums are in float32."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.experts import EXPERTS, make_expert
from ada_ensemble_tf.gates import GATES, make_gate
from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.estimator import Estimator
from ada_ensemble_tf.layers.normalization import make_normalization
from ada_ensemble_tf.layers.precision import apply_activation, full_precision, layers_of, upcast

WIDTH = 24


def rounded(*shape: int, seed: int = 0) -> tf.Tensor:
    """Random float32 numbers that bfloat16 holds exactly."""
    values = np.random.default_rng(seed).normal(size=shape)
    return tf.cast(tf.cast(values, tf.bfloat16), tf.float32)


def twins(make, *shapes) -> tuple[keras.layers.Layer, keras.layers.Layer]:
    """A layer in float32 and under mixed precision, built with the same weights."""
    layers = []
    for policy in ("float32", "mixed_bfloat16"):
        with layers_of(policy):
            layers.append(make())
            layers[-1].build(*shapes)
    layers[1].set_weights(layers[0].get_weights())
    return tuple(layers)


def test_the_gradient_of_a_bias_is_summed_in_float32():
    dense = Dense(3, dtype="mixed_bfloat16")
    x = tf.ones([4096, 2], tf.bfloat16)
    with tf.GradientTape() as tape:
        loss = 0.01 * tf.reduce_sum(tf.cast(dense(x), tf.float32))
    kernel, bias = tape.gradient(loss, [dense.kernel.value, dense.bias.value])
    assert kernel.dtype == bias.dtype == tf.float32
    np.testing.assert_allclose(bias, [40.96] * 3, rtol=1e-2)
    np.testing.assert_allclose(kernel, np.full([2, 3], 40.96), rtol=1e-2)


@pytest.mark.parametrize("activation", ["gelu", "sigmoid", "relu", None])
def test_a_dense_layer_is_its_float32_twin_rounded(activation):
    exact, mixed = twins(lambda: Dense(5, activation=activation), (None, WIDTH))
    x = rounded(6, WIDTH)
    output = mixed(x)
    assert output.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(output, tf.float32), exact(x), rtol=2e-2, atol=2e-2)


def test_activations_are_computed_in_float32_and_rounded_once():
    x = rounded(1000)
    for activation in (keras.activations.gelu, keras.activations.sigmoid, keras.activations.relu):
        expected = tf.cast(activation(x), tf.bfloat16)
        np.testing.assert_array_equal(apply_activation(activation, tf.cast(x, tf.bfloat16)), expected)
    np.testing.assert_array_equal(apply_activation(keras.activations.gelu, x), keras.activations.gelu(x))


@pytest.mark.parametrize("name", ["batch", "layer"])
def test_normalisation_is_in_float32_and_rounded_once(name):
    exact, mixed = twins(lambda: make_normalization(name, "normalize"), (None, WIDTH))
    # A mean of a dozen spreads, which sums of bfloat16 would drown.
    x = 3.0 + 0.25 * rounded(512, WIDTH)
    x = tf.cast(tf.cast(x, tf.bfloat16), tf.float32)
    output = mixed(tf.cast(x, tf.bfloat16), training=True)
    assert output.dtype == tf.bfloat16
    np.testing.assert_array_equal(output, tf.cast(exact(x, training=True), tf.bfloat16))
    # A float32 input keeps its digits on the way in.
    np.testing.assert_array_equal(mixed(x + 0.001), tf.cast(exact(x + 0.001), tf.bfloat16))
    for one, other in zip(exact.weights, mixed.weights, strict=True):
        assert other.dtype == "float32"
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", sorted(GATES))
def test_a_gate_is_that_of_float32(name):
    exact, mixed = twins(lambda: make_gate(name, 4, seed=1, reduction=2), (None, WIDTH))
    x0 = rounded(9, WIDTH)
    for training in (False, True):
        gates, report = mixed(tf.cast(x0, tf.bfloat16), k=2, training=training)
        expected, expected_report = exact(x0, k=2, training=training)
        assert gates.dtype == tf.float32
        np.testing.assert_array_equal(gates, expected)
        tf.nest.map_structure(np.testing.assert_array_equal, tuple(report), tuple(expected_report))


def test_an_estimator_is_that_of_float32():
    exact, mixed = twins(lambda: Estimator(-1.0), (None, WIDTH))
    x = rounded(9, WIDTH)
    logit = mixed(tf.cast(x, tf.bfloat16))
    assert logit.dtype == tf.float32
    np.testing.assert_array_equal(logit, exact(x))


@pytest.mark.parametrize("name", sorted(EXPERTS))
def test_an_expert_is_its_float32_twin_rounded(name):
    shape = (None, WIDTH)
    keras.utils.set_random_seed(1)
    exact, mixed = twins(lambda: make_expert(name, 6), shape, shape)
    x0, x = rounded(32, WIDTH, seed=1), rounded(32, WIDTH, seed=2)
    low0, low = tf.cast(x0, tf.bfloat16), tf.cast(x, tf.bfloat16)
    output, expected = mixed(low0, low), exact(x0, x)
    assert output.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(output, tf.float32), expected, rtol=5e-2, atol=2e-2 * np.abs(expected).max())

    variables = [variable.value for variable in mixed.trainable_variables]
    for rows in (32, 0):
        with tf.GradientTape() as tape:
            output = mixed(low0[:rows], low[:rows])
            loss = tf.reduce_sum(tf.square(upcast(output)))
        assert output.shape == (rows, WIDTH)
        for gradient in tape.gradient(loss, variables):
            assert gradient.dtype == tf.float32 and np.isfinite(gradient).all()


def test_full_precision_is_the_type_of_the_variables():
    assert full_precision("mixed_bfloat16").name == full_precision("float32").name == "float32"
    assert full_precision("float64").name == "float64"
    with layers_of("mixed_bfloat16"):
        assert full_precision().name == "float32"
    assert full_precision().name == "float32"
