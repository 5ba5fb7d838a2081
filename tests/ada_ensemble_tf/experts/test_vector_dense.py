import numpy as np
import pytest
from expert_checks import default_megaflops
from layer_checks import check_gradients, config_round_trip, float64_layers, random_weights

from ada_ensemble_tf.experts import VectorDenseExpert


def test_output_by_hand():
    expert = VectorDenseExpert(2)
    expert.build((None, 4), (None, 4))
    # The first output field is field 1 + 10 field 2, the second is -field 2.
    expert.mix.kernel.assign([[1, 0], [10, -1]])
    expert.mix.bias.assign([0.5, 4])
    x = np.array([[1, 2, 3, 5]], np.float32)
    assert expert(np.full_like(x, np.nan), x).numpy().tolist() == [[31.5, 52.5, 1, 0]]


def test_output_agrees_with_one_element_at_a_time():
    expert = VectorDenseExpert(4, activation="tanh")
    x0, x = np.random.default_rng(0).normal(size=(2, 3, 12)).astype(np.float32)
    expert(x0, x)
    w = random_weights(expert)
    expected = np.zeros((3, 4, 3))
    for d in range(3):
        expected[:, :, d] = np.tanh(x.reshape(3, 4, 3)[:, :, d] @ w["mix/kernel"] + w["mix/bias"])
    np.testing.assert_allclose(expert(x0, x), expected.reshape(3, 12), rtol=1e-4, atol=1e-5)


def test_gradients_agree_with_differences():
    with float64_layers():
        expert = VectorDenseExpert(3, activation="tanh")
        x0, x = np.random.default_rng(0).normal(size=(2, 2, 6))
        expert(x0, x)
        random_weights(expert)
        check_gradients(expert, x0, x)


def test_config_round_trip():
    loaded = config_round_trip(VectorDenseExpert(3, activation="tanh"))
    assert (loaded.num_fields, loaded.activation) == (3, "tanh")


def test_an_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="activation must be among .*gelu.*; received 'rleu'"):
        VectorDenseExpert(3, activation="rleu")


def test_flops_of_the_defaults_at_criteos_size():
    assert default_megaflops("vector_dense") == pytest.approx(2 * 39 * 39 * 16 / 1e6)
