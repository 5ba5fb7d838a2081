import numpy as np
import pytest
import tensorflow as tf
from layer_checks import numeric_gradient
from scipy.optimize import minimize

from ada_ensemble_tf.moe.sparsemax import sparsemax


@pytest.mark.parametrize(
    "z, expected",
    [
        ([0.0, 0.0], [0.5, 0.5]),
        ([1.0, 0.5], [0.75, 0.25]),
        ([3.0, 1.0, 0.5], [1.0, 0.0, 0.0]),
        ([0.6, 0.2, -0.4], [0.7, 0.3, 0.0]),
        ([0.5, 0.5, -0.5, 0.5], [1 / 3, 1 / 3, 0.0, 1 / 3]),
        ([1e8, 1e8, 0.0], [0.5, 0.5, 0.0]),
        ([7.0], [1.0]),
    ],
)
def test_by_hand(z, expected):
    np.testing.assert_allclose(sparsemax(tf.constant(z)), expected, rtol=1e-6, atol=1e-7)


def test_is_the_closest_point_of_the_simplex():
    rng = np.random.default_rng(0)
    for _ in range(5):
        z = rng.normal(size=4)
        closest = minimize(
            lambda p, z=z: ((p - z) ** 2).sum(),
            np.full(4, 0.25),
            bounds=[(0, 1)] * 4,
            constraints={"type": "eq", "fun": lambda p: p.sum() - 1},
            tol=1e-12,
        )
        np.testing.assert_allclose(sparsemax(tf.constant(z)), closest.x, atol=1e-5)


def test_works_along_the_first_axis():
    z = np.random.default_rng(1).normal(size=(5, 3, 2))
    expected = np.stack([[sparsemax(tf.constant(z[:, i, j])) for j in range(2)] for i in range(3)])
    np.testing.assert_allclose(sparsemax(tf.constant(z)), np.moveaxis(expected, -1, 0), rtol=1e-6)


def test_gradient_is_that_of_the_paper_and_of_central_differences():
    z = np.array([0.6, 0.2, -0.4, 0.1])
    weighting = np.array([1.0, -2.0, 5.0, 0.5])
    tensor = tf.constant(z)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        p = sparsemax(tensor)
        value = tf.reduce_sum(p * weighting)
    gradient = tape.gradient(value, tensor).numpy()
    np.testing.assert_allclose(
        gradient, numeric_gradient(lambda v: tf.reduce_sum(sparsemax(tf.constant(v)) * weighting), z), atol=1e-8
    )
    # Equation 9: on the support, less the mean over the support.
    support = p.numpy() > 0.0
    assert support.tolist() == [True, True, False, True]
    np.testing.assert_allclose(gradient, np.where(support, weighting - weighting[support].mean(), 0.0), atol=1e-12)
