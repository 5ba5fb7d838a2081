import numpy as np
import pytest
import tensorflow as tf
from layer_checks import check_gradients, check_zero_rows, config_round_trip, float64_layers, random_weights, round_trip

from ada_ensemble_tf.models.interaction_expert import INTERACTIONS, InteractionExpert

X0 = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)


def small_expert(interaction: str, **arguments) -> InteractionExpert:
    sizes = {"size": 2, "feature_maps": (2, 3), "num_crosses": 1, "hidden_units": (4,), "normalization": "none"}
    expert = InteractionExpert(interaction, num_fields=3, **(sizes | arguments))
    expert.build((None, 6))
    return expert


@pytest.mark.parametrize(
    "interaction, expected",
    [
        # v = (1, 2), (3, 4), (5, 6): products of pairs 1*3 + 1*5 + 3*5 and 2*4 + 2*6 + 4*6.
        ("fm", [23.0, 44.0]),
        # x0 * (0 x0 + 1) + x0.
        ("cross", [2.0, 4.0, 6.0, 8.0, 10.0, 12.0]),
    ],
)
def test_by_hand(interaction, expected):
    expert = small_expert(interaction, size=len(expected), activation="linear")
    expert.project.kernel.assign(np.eye(len(expected)))
    expert.project.bias.assign(np.full(len(expected), 0.5))
    if interaction == "cross":
        expert.layers[0].dense.kernel.assign(np.zeros((6, 6)))
        expert.layers[0].dense.bias.assign(np.ones(6))
    np.testing.assert_allclose(expert(tf.constant([[1.0, 2, 3, 4, 5, 6]])), [np.array(expected) + 0.5], rtol=1e-6)


@pytest.mark.parametrize("interaction", INTERACTIONS)
def test_gradients(interaction):
    with float64_layers():
        expert = small_expert(interaction, activation="tanh")
        random_weights(expert)
        # "fm" computes its difference of sums in float32.
        loose = {"step": 1e-2, "rtol": 2e-2, "atol": 1e-3} if interaction == "fm" else {}
        check_gradients(expert, X0.astype(np.float64), **loose)


@pytest.mark.parametrize("interaction", INTERACTIONS)
def test_round_trips_and_zero_rows(interaction):
    expert = small_expert(interaction, normalization="batch", activation="tanh")
    random_weights(expert)
    assert config_round_trip(expert).get_config() == expert.get_config()
    before, after = round_trip(expert, X0)
    assert before.shape == (4, 2) and before.std() > 0.01
    np.testing.assert_array_equal(before, after)
    check_zero_rows(expert, X0, training=True)


def test_normalisation_comes_before_the_projection():
    expert = small_expert("fm", normalization="batch", activation="linear")
    # The batch's statistics give unit scale, whatever that of x0.
    expert.project.kernel.assign(np.eye(2))
    y = expert(tf.constant(100.0 * X0), training=True)
    np.testing.assert_allclose(np.mean(y, axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(np.std(y, axis=0), 1.0, rtol=1e-3)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"interaction": "ffm"}, r"interaction must be one of \('cin', 'cross', 'mlp', 'fm'\); received 'ffm'"),
        ({"interaction": "mlp", "size": 0}, "size and num_crosses must be at least 1; received 0 and 1"),
        ({"interaction": "cross", "num_crosses": 0}, "size and num_crosses must be at least 1; received 2 and 0"),
        ({"interaction": "cin", "feature_maps": ()}, "feature_maps must be one or more positive sizes"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_expert(**arguments)


def test_wrong_width():
    with pytest.raises(ValueError, match="multiple of num_fields; received M=7 and num_fields=3"):
        InteractionExpert("fm", num_fields=3).build((None, 7))
