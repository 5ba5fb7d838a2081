import numpy as np
import pytest
from expert_checks import default_megaflops
from layer_checks import check_gradients, config_round_trip, float64_layers, random_weights

from ada_ensemble_tf.experts import DenseExpert


def test_output_by_hand():
    expert = DenseExpert(1)
    expert.build((None, 2), (None, 2))
    expert.dense.kernel.assign([[1, 2], [3, -4]])
    expert.dense.bias.assign([10, 20])
    x = np.array([[1, 1], [0, 10]], np.float32)
    # The second element of the second row is 20 - 40, cut at 0.
    assert expert(np.full_like(x, np.nan), x).numpy().tolist() == [[14, 18], [40, 0]]


def test_activation_is_a_choice_and_kept():
    expert = config_round_trip(DenseExpert(1, activation="linear"))
    x = np.array([[1, -1]], np.float32)
    expert(x, x)
    weights = random_weights(expert)
    np.testing.assert_allclose(expert(x, x), x @ weights["dense/kernel"] + weights["dense/bias"], rtol=1e-5)


def test_gradients_agree_with_differences():
    with float64_layers():
        expert = DenseExpert(2)
        x0, x = np.random.default_rng(0).normal(size=(2, 3, 4))
        expert(x0, x)
        random_weights(expert)
        check_gradients(expert, x0, x)


@pytest.mark.parametrize(("width", "expected"), [(2, 8), (10, 200)])
def test_flops_are_two_a_weight(width, expected):
    expert = DenseExpert(2)
    expert.build((None, width), (None, width))
    assert expert.flops() == expected


def test_flops_of_the_defaults_at_criteos_size():
    # 2 M^2.
    assert default_megaflops("dense") == pytest.approx(0.7788, abs=0.0006)
