"""Checks that every interaction module must pass."""

import dhen_reference
import numpy as np
import pytest
from layer_checks import (
    check_gradients,
    check_zero_rows,
    config_round_trip,
    float64_layers,
    random_weights,
    round_trip,
)

from ada_ensemble_tf.dhen import MODULES, InteractionModule, make_module

NAMES = sorted(MODULES)
X = np.random.default_rng(3).normal(size=(3, 5, 4)).astype(np.float32)
# Sizes at which central differences are quick.
SMALL = {
    "attention": {"expansion": 1},
    "convolution": {"filters": 2},
    "dlrm": {"hidden_units": (3,), "compressed": 2},
}


def built(name: str, num_outputs: int = 3, **arguments) -> InteractionModule:
    module = make_module(name, num_outputs, **arguments)
    module.build((None, 5, 4))
    return module


@pytest.mark.parametrize("num_outputs", [1, 3, 5, 7])
@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_loops(name, num_outputs):
    module = built(name, num_outputs)
    assert type(module) is MODULES[name] and module.name == name
    weights = {f"module/{path}": value.astype(np.float64) for path, value in random_weights(module).items()}
    output = module(X)
    assert output.shape == (3, num_outputs, 4) == module.compute_output_shape(X.shape)
    expected = dhen_reference.MODULES[name](weights, "module", X.astype(np.float64))
    np.testing.assert_allclose(output, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_agree_with_differences(name):
    with float64_layers():
        module = make_module(name, 2, **SMALL.get(name, {}))
        x = np.random.default_rng(1).normal(size=(2, 3, 4))
        module.build((None, 3, 4))
        random_weights(module)
        check_gradients(module, x, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_no_rows_and_round_trips(name):
    module = built(name)
    random_weights(module)
    check_zero_rows(module, X)
    before, after = round_trip(module, X)
    assert before.shape == (3, 3, 4)
    np.testing.assert_array_equal(before, after)
    assert config_round_trip(module).get_config() == module.get_config()


@pytest.mark.parametrize("name", NAMES)
def test_one_embedding_is_a_list_too(name):
    x = X[:, :1]
    output = make_module(name, 1)(x)
    assert output.shape == (3, 1, 4) and np.isfinite(output).all()


@pytest.mark.parametrize("name", NAMES)
def test_wrong_arguments_and_shapes(name):
    with pytest.raises(ValueError, match="num_outputs must be at least 1; received 0"):
        make_module(name, 0)
    with pytest.raises(ValueError, match=r"x must be a list of embeddings .* received shape \(None, 20\)"):
        make_module(name, 2).build((None, 20))
    with pytest.raises(ValueError, match=r"with m and D known; received shape \(None, None, 4\)"):
        make_module(name, 2).build((None, None, 4))
    with pytest.raises(ValueError, match="head_count"):
        make_module(name, 2, head_count=3)


def test_unknown_module_is_refused_with_the_known_ones():
    message = "there is no interaction module 'crossing'; choose one of attention, convolution, deep_cross, dlrm"
    with pytest.raises(ValueError, match=message):
        make_module("crossing", 2)


def test_module_without_flops_says_so():
    class Lazy(InteractionModule):
        def call(self, x):
            return x

    with pytest.raises(NotImplementedError, match="Lazy must define flops"):
        Lazy(2).flops()
