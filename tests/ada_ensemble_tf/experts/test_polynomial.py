import numpy as np
import pytest
from expert_checks import default_megaflops
from layer_checks import check_gradients, config_round_trip, float64_layers, random_weights

from ada_ensemble_tf.experts import PolynomialExpert


def test_output_by_hand():
    expert = PolynomialExpert(1)
    expert.build((None, 2), (None, 2))
    assert len(expert.weights) == 1, "there is no bias"
    expert.dense.kernel.assign([[1, 2], [3, 4]])
    x0 = np.array([[2, 3], [0, 0]], np.float32)
    x = np.array([[1, -1], [5, 5]], np.float32)
    assert expert(x0, x).numpy().tolist() == [[11, -16], [0, 0]]


def test_gradients_agree_with_differences():
    with float64_layers():
        expert = PolynomialExpert(2)
        x0, x = np.random.default_rng(0).normal(size=(2, 3, 4))
        expert(x0, x)
        random_weights(expert)
        check_gradients(expert, x0, x)


def test_config_round_trip():
    assert config_round_trip(PolynomialExpert(3)).num_fields == 3


def test_flops_are_two_a_weight_and_the_product():
    expert = PolynomialExpert(2)
    expert.build((None, 10), (None, 10))
    assert expert.flops() == 2 * 10 * 10 + 10


def test_flops_of_the_defaults_at_criteos_size():
    # AdaEnsemble (arXiv 2301.08353), table 2.
    assert default_megaflops("polynomial") == pytest.approx(0.779, abs=0.0006)
