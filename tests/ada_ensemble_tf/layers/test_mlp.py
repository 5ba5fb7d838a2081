import numpy as np
import pytest
import tensorflow as tf
from layer_checks import check_gradients, check_zero_rows, config_round_trip, float64_layers, random_weights, round_trip

from ada_ensemble_tf.layers.mlp import MLP

X = np.random.default_rng(5).normal(size=(6, 4)).astype("float32")


def built(*arguments, **keywords) -> MLP:
    mlp = MLP(*arguments, **keywords)
    mlp.build((None, 4))
    return mlp


def test_by_hand():
    mlp = built([2, 1])
    first, second = mlp.dense_layers
    first.kernel.assign([[1, 0], [0, 1], [2, 0], [0, -3]])
    first.bias.assign([0.5, 1.0])
    second.kernel.assign([[2], [5]])
    second.bias.assign([-1.0])
    # relu([1 + 6 + .5, 2 - 12 + 1]) = [7.5, 0]; 15 - 1.
    np.testing.assert_allclose(mlp(tf.constant([[1.0, 2.0, 3.0, 4.0]])), [[14.0]])
    assert mlp.flops() == 2 * 4 * 2 + 2 * 2 * 1


def test_normalises_before_the_activation_and_only_in_training_by_the_batch():
    mlp = built([3], "linear", "batch")
    weights = random_weights(mlp)
    z = X @ weights["dense_1/kernel"] + weights["dense_1/bias"]
    gamma, beta = weights["normalize_1/gamma"], weights["normalize_1/beta"]
    moving = (z - weights["normalize_1/moving_mean"]) / np.sqrt(weights["normalize_1/moving_variance"] + 1e-3)
    np.testing.assert_allclose(mlp(X), moving * gamma + beta, rtol=1e-4, atol=1e-5)
    batch = (z - z.mean(axis=0)) / np.sqrt(z.var(axis=0) + 1e-3)
    np.testing.assert_allclose(mlp(X, training=True), batch * gamma + beta, rtol=1e-4, atol=1e-5)


def test_drops_out_in_training_only():
    mlp = built([400], dropout=0.25)
    kept, dropped = mlp(X).numpy(), mlp(X, training=True).numpy()
    zeroed = (dropped == 0)[kept > 0]
    assert 0.2 < zeroed.mean() < 0.3
    np.testing.assert_allclose(dropped[dropped > 0], kept[dropped > 0] / 0.75, rtol=1e-5)


def test_gradients_zero_rows_and_round_trips():
    with float64_layers():
        mlp = built([3, 2], "tanh", "layer")
        random_weights(mlp)
        check_gradients(mlp, X.astype("float64"))
    mlp = built([3, 2], "relu", "batch", 0.5)
    check_zero_rows(mlp, X)
    before, after = round_trip(mlp, X)
    np.testing.assert_array_equal(before, after)
    assert config_round_trip(mlp).get_config() == mlp.get_config()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"hidden_units": []}, r"hidden_units must be one or more positive sizes; received \[\]"),
        ({"hidden_units": [4, 0]}, r"hidden_units must be one or more positive sizes; received \[4, 0\]"),
        ({"hidden_units": [4], "dropout": 1.0}, r"dropout must lie in \[0, 1\); received 1.0"),
        ({"hidden_units": [4], "normalization": "bach"}, "normalization must be 'batch', 'layer' or 'none'"),
        ({"hidden_units": [4], "activation": "rellu"}, "rellu"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        MLP(**arguments)
