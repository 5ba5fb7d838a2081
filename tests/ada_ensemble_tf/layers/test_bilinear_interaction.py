import itertools

import numpy as np
import pytest
import tensorflow as tf
from layer_checks import check_gradients, check_zero_rows, config_round_trip, float64_layers, random_weights, round_trip

from ada_ensemble_tf.layers.bilinear_interaction import KINDS, BilinearInteraction

X = np.random.default_rng(3).normal(size=(5, 8)).astype("float32")


def built(num_fields: int = 4, kind: str = "interaction", width: int = 8) -> BilinearInteraction:
    layer = BilinearInteraction(num_fields, kind)
    layer.build((None, width))
    return layer


def looped_bilinear(kernel: np.ndarray, fields: np.ndarray, kind: str) -> np.ndarray:
    """A pair at a time."""
    products = []
    for p, (i, j) in enumerate(itertools.combinations(range(fields.shape[1]), 2)):
        w = kernel if kind == "all" else kernel[i if kind == "each" else p]
        products.append((fields[:, i] @ w) * fields[:, j])
    return np.concatenate(products, axis=1)


@pytest.mark.parametrize("kind", KINDS)
def test_by_hand(kind):
    layer = built(2, kind, 4)
    layer.kernel.assign(np.reshape([[1.0, 2.0], [3.0, 4.0]], layer.kernel.shape))
    # (1, 10) W = (31, 42), times (5, -1).
    np.testing.assert_allclose(layer(tf.constant([[1.0, 10.0, 5.0, -1.0]])), [[155.0, -42.0]])
    assert layer.flops() == 2 * 4 + 2


@pytest.mark.parametrize(("kind", "shape"), [("all", (2, 2)), ("each", (3, 2, 2)), ("interaction", (6, 2, 2))])
def test_agrees_with_loops(kind, shape):
    layer = built(kind=kind)
    weights = random_weights(layer)
    assert weights["kernel"].shape == shape
    expected = looped_bilinear(weights["kernel"], X.reshape(5, 4, 2), kind)
    assert layer.compute_output_shape((5, 8)) == expected.shape
    np.testing.assert_allclose(layer(X), expected, rtol=1e-5, atol=1e-6)
    assert layer.flops() == 2 * 4 * (6 if kind == "interaction" else 3) + 6 * 2


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_zero_rows_and_round_trips(kind):
    with float64_layers():
        layer = built(kind=kind)
        random_weights(layer)
        check_gradients(layer, X.astype("float64"))
    layer = built(kind=kind)
    check_zero_rows(layer, X)
    before, after = round_trip(layer, X)
    np.testing.assert_array_equal(before, after)
    assert config_round_trip(layer).get_config() == layer.get_config()


def test_starts_within_the_bound_of_one_matrix():
    kernel = np.array(built(8, "interaction", 8 * 12).kernel)
    assert 0.48 < np.abs(kernel).max() <= 0.5


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_fields": 1}, "num_fields must be at least 2, to have pairs; received 1"),
        ({"kind": "pairs"}, r"kind must be one of \('all', 'each', 'interaction'\); received 'pairs'"),
        ({"num_fields": 3}, "the width M of x must be a multiple of num_fields; received M=8 and num_fields=3"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        built(**arguments)
