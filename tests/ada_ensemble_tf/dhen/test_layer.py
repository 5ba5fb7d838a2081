import dhen_reference
import keras
import numpy as np
import pytest
import tensorflow as tf
from layer_checks import check_gradients, check_zero_rows, config_round_trip, float64_layers, random_weights, round_trip

from ada_ensemble_tf.dhen import ENSEMBLES, MODULES, DHENLayer

X = np.random.default_rng(4).normal(size=(5, 4, 4)).astype(np.float32)
LINEAR_CROSS = ("linear", "deep_cross")


def built(*arguments, shape=(None, 4, 4), **keywords) -> DHENLayer:
    keras.utils.set_random_seed(1)
    layer = DHENLayer(*arguments, **keywords)
    layer.build(shape)
    return layer


@pytest.mark.parametrize("normalization", ["layer", "batch", "none"])
@pytest.mark.parametrize("ensemble", ENSEMBLES)
# With "concat" and l = 2, or without it and l = 4, all lists have the same length and the shortcut is the identity.
@pytest.mark.parametrize("num_outputs", [2, 4])
def test_agrees_with_loops(ensemble, normalization, num_outputs):
    layer = built(LINEAR_CROSS, num_outputs, ensemble, normalization)
    weights = {f"layer/{path}": value for path, value in random_weights(layer).items()}
    expected = dhen_reference.dhen_layer(weights, "layer", X, LINEAR_CROSS, ensemble, normalization)
    output = layer(X)
    assert output.shape == expected.shape == layer.compute_output_shape(X.shape)
    assert (layer.shortcut is None) == (expected.shape[1] == 4)
    np.testing.assert_allclose(output, expected, rtol=1e-3, atol=1e-3)


def test_all_modules_at_once_agree_with_loops():
    names = tuple(MODULES)
    layer = built(names, 2, module_arguments={"dlrm": {"hidden_units": (3,)}})
    weights = {f"layer/{path}": value for path, value in random_weights(layer).items()}
    assert layer.output_length == 2 * len(names)
    expected = dhen_reference.dhen_layer(weights, "layer", X, names, "concat", "layer")
    np.testing.assert_allclose(layer(X), expected, rtol=1e-3, atol=1e-3)


def test_by_hand():
    layer = built(LINEAR_CROSS, 1, "weighted_sum", "none", shape=(None, 1, 2))
    np.testing.assert_array_equal(layer.module_weights, [1.0, 1.0])
    linear, cross = layer.interactions
    linear.project.kernel.assign([[3.0]])
    cross.kernel.assign([[1.0], [0.0]])
    layer.module_weights.assign([2.0, -1.0])
    # X = (1, 2): linear (3, 6); X X^T (1, 0) = (1, 2); 2 (3, 6) - (1, 2) + (1, 2).
    np.testing.assert_allclose(layer(tf.constant([[[1.0, 2.0]]])), [[[6.0, 12.0]]])


def test_batch_normalisation_is_of_each_number_in_the_list():
    layer = built(("linear",), 3, normalization="batch")
    output = layer(X, training=True)
    np.testing.assert_allclose(output.numpy().mean(axis=0), np.zeros([3, 4]), atol=1e-5)
    np.testing.assert_allclose(output.numpy().var(axis=0), np.ones([3, 4]), atol=0.05)


def test_drops_out_in_training_only_and_never_the_shortcut():
    layer = built(("linear",), 4, normalization="none", dropout=0.5)
    # Modules and shortcut both give X: a kept value is X / .5 + X, a dropped one X.
    layer.interactions[0].project.kernel.assign(np.eye(4))
    np.testing.assert_allclose(layer(X), 2 * X, rtol=1e-5)
    factors = np.round(layer(X, training=True) / X, 3)
    assert set(factors.ravel()) == {1.0, 3.0}


def test_floats_are_read_by_the_modules_that_are_named():
    values = np.random.default_rng(5).normal(size=(5, 2)).astype(np.float32)
    layer = DHENLayer(("linear", "deep_cross"), 2, numeric_modules=("deep_cross",))
    layer.build((None, 4, 4), (None, 2))
    weights = {f"layer/{path}": value for path, value in random_weights(layer).items()}
    arguments = (LINEAR_CROSS, "concat", "layer", values, ("deep_cross",))
    np.testing.assert_allclose(layer(X, values), dhen_reference.dhen_layer(weights, "layer", X, *arguments), rtol=1e-3)
    assert config_round_trip(layer).numeric_modules == ("deep_cross",)
    with pytest.raises(ValueError, match="the modules linear read floats; received none"):
        DHENLayer(("linear",), 2, numeric_modules=("linear",)).build((None, 4, 4))
    with pytest.raises(ValueError, match=r"numeric_modules must be among \['linear'\]; received \['dlrm'\]"):
        DHENLayer(("linear",), 2, numeric_modules=("dlrm",))


def test_flops_by_hand():
    linear, cross, project = 2 * 4 * 3 * 4, 2 * 4 * 4 * (4 + 3), 2 * 4 * 4
    assert built(LINEAR_CROSS, 3).flops() == linear + cross + 6 * project
    assert built(LINEAR_CROSS, 3, "sum").flops() == linear + cross + 3 * project
    assert built(LINEAR_CROSS, 3, "weighted_sum").flops() == linear + cross + 3 * project + 2 * 2 * 3 * 4
    assert built(("linear",), 4).flops() == 2 * 4 * 4 * 4


def test_gradients_agree_with_differences():
    with float64_layers():
        layer = built(LINEAR_CROSS, 2, "weighted_sum", shape=(None, 3, 3))
        random_weights(layer)
        check_gradients(layer, X[:2, :3, :3].astype(np.float64), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ensemble, normalization", [("concat", "layer"), ("weighted_sum", "batch")])
def test_no_rows_and_round_trips(ensemble, normalization):
    own = {"attention": {"heads": 4}, "dlrm": {"hidden_units": (3,)}}
    layer = built(tuple(MODULES), 2, ensemble, normalization, 0.1, own)
    check_zero_rows(layer, X)
    check_zero_rows(layer, X, training=True)
    before, after = round_trip(layer, X)
    np.testing.assert_array_equal(before, after)
    loaded = config_round_trip(layer)
    assert loaded.get_config() == layer.get_config()
    assert loaded.interactions[0].heads == 4 and loaded.interactions[3].mlp.hidden_units == (3,)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"modules": ()}, r"modules must name at least one module, each once; received \[\]"),
        ({"modules": ("dlrm", "dlrm")}, "modules must name at least one module, each once"),
        ({"modules": ("crossing",)}, "there is no interaction module 'crossing'; choose one of attention"),
        ({"ensemble": "mean"}, r"ensemble must be one of \('concat', 'sum', 'weighted_sum'\); received 'mean'"),
        ({"normalization": "group"}, "normalization must be 'batch', 'layer' or 'none'; received 'group'"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\); received 1.0"),
        ({"num_outputs": 0}, "num_outputs must be at least 1; received 0"),
        ({"module_arguments": {"dlmr": {}}}, r"keys of module_arguments must be names of modules; received \['dlmr'\]"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        DHENLayer(**arguments)


def test_wrong_shapes():
    with pytest.raises(ValueError, match="x must be a list of embeddings"):
        DHENLayer().build((None, 16))
    with pytest.raises(ValueError, match="heads must divide the embedding size D; received heads=2 and D=3"):
        DHENLayer(("attention",)).build((None, 4, 3))
