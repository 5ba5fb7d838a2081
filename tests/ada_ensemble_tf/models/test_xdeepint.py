import numpy as np
import pytest
import tensorflow as tf
from layer_checks import check_gradients, check_zero_rows, float64_layers, random_weights, round_trip
from model_checks import (
    FIELDS,
    INPUTS,
    PLAIN,
    PLAIN_INPUTS,
    assert_forward_is,
    check_model,
    reference_estimator,
    reference_normalization,
)

from ada_ensemble_tf.models import XDeepInt
from ada_ensemble_tf.models.xdeepint import PolynomialInteraction


def small_model(**arguments) -> XDeepInt:
    return XDeepInt(**({"dimension": 4, "num_layers": 2, "subspaces": 2} | arguments))


@pytest.mark.parametrize("rows", [FIELDS, PLAIN], ids=["fields", "plain"])
@pytest.mark.parametrize("normalization, subspaces", [("none", 1), ("batch", 2), ("none", 4)])
def test_forward_is_the_numpy_network(rows, normalization, subspaces):
    def reference(weights, fields):
        x0 = reference_normalization(weights, "normalize", fields["embedding"].reshape(-1, 12)).reshape(-1, 3, 4)
        # Subspaces on the field axis, one below the other.
        x0 = x = np.concatenate(np.split(x0, subspaces, axis=2), axis=1)
        for i in (1, 2):
            # Kernels multiply from the right.
            w = weights[f"interaction_{i}/dense/kernel"].T
            assert w.shape == (3 * subspaces, 3 * subspaces)
            x = x * (1 + np.stack([w @ row for row in x0]))
        together = np.concatenate(np.split(x, subspaces, axis=1), axis=2)
        return reference_estimator(weights, together.sum(axis=2))

    assert_forward_is(small_model(**rows, embedding_normalization=normalization, subspaces=subspaces), reference)


def test_layer_by_hand():
    layer = PolynomialInteraction()
    layer.build((None, 2), (None, 2))
    # Kernels multiply from the right: W = [[1, 2], [3, 4]] maps (10, -1) to (8, 26).
    layer.dense.kernel.assign([[1.0, 3.0], [2.0, 4.0]])
    np.testing.assert_allclose(layer(tf.constant([[10.0, -1.0]]), tf.constant([[2.0, -3.0]])), [[18.0, -81.0]])
    assert layer.flops() == 2 * 4 + 4


def test_layer_gradients_zero_rows_and_round_trip():
    x0, x = np.random.default_rng(1).normal(size=(2, 4, 3)).astype("float32")
    with float64_layers():
        layer = PolynomialInteraction()
        layer.build((None, 3), (None, 3))
        random_weights(layer)
        check_gradients(layer, x0.astype("float64"), x.astype("float64"))
    layer = PolynomialInteraction()
    layer.build((None, 3), (None, 3))
    check_zero_rows(layer, x0, x)
    before, after = round_trip(layer, x0, x)
    np.testing.assert_array_equal(before, after)


def test_one_subspace_never_mixes_the_values_of_fields():
    """With h = 1, the d-th values of the fields meet only each other, so the logit is a sum over d."""
    model = small_model(**PLAIN, subspaces=1)
    table = np.random.default_rng(0).normal(size=(9, 4)).astype("float32")
    logits = []
    for d in range(4):
        one = np.zeros_like(table)
        one[:, d] = table[:, d]
        model.embedding.trainable_variables[0].assign(one)
        logits.append(model.forward(PLAIN_INPUTS).logit)
    model.embedding.trainable_variables[0].assign(table)
    np.testing.assert_allclose(model.forward(PLAIN_INPUTS).logit, np.sum(logits, axis=0), rtol=1e-4, atol=1e-5)


def test_flops_by_hand():
    def row(subspaces: int) -> int:
        width = 3 * subspaces
        layer = 4 // subspaces * (2 * width * width + 2 * width)
        return 2 * layer + 12 + 2 * 3

    assert float(small_model(**PLAIN).forward(PLAIN_INPUTS).flops) == 4 * row(2)
    assert float(small_model(**FIELDS, subspaces=4).forward(INPUTS).flops) == 3 * row(4)


@pytest.mark.parametrize("subspaces", [1, 2])
def test_what_every_model_does(tmp_path, subspaces):
    check_model(lambda **arguments: small_model(**{"subspaces": subspaces} | arguments), tmp_path, kernels=3)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_layers": 0}, "num_layers must be a whole number of at least 1; received 0"),
        ({"subspaces": 3}, "subspaces must divide dimension=4; received 3"),
        ({"subspaces": 0}, "subspaces must be a whole number of at least 1; received 0"),
        ({"embedding_normalization": "bach"}, "normalization must be 'batch', 'layer' or 'none'; received 'bach'"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_model(**PLAIN, **arguments)
