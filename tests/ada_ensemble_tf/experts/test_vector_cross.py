import numpy as np
import pytest
from expert_checks import default_megaflops
from layer_checks import check_gradients, config_round_trip, float64_layers, random_weights

from ada_ensemble_tf.experts import VectorCrossExpert


def test_output_by_hand():
    expert = VectorCrossExpert(2, diag_scale=100.0)
    expert.build((None, 4), (None, 4))
    # The first output field is field 1 + 10 field 2, the second is field 2.
    expert.mix.kernel.assign([[1, 0], [10, 1]])
    expert.mix.bias.assign([0.5, 0])
    x0 = np.array([[1, 2, -1, 0]], np.float32)
    x = np.array([[1, 2, 3, 4]], np.float32)
    assert expert(x0, x).numpy().tolist() == [[131.5, 2 * 242.5, -303, 0]]


def test_output_agrees_with_one_element_at_a_time():
    expert = VectorCrossExpert(4, diag_scale=0.7)
    x0, x = np.random.default_rng(0).normal(size=(2, 3, 12)).astype(np.float32)
    expert(x0, x)
    w = random_weights(expert)
    fields0, fields = x0.reshape(3, 4, 3), x.reshape(3, 4, 3)
    expected = np.zeros_like(fields)
    for d in range(3):
        mixed = fields[:, :, d] @ w["mix/kernel"] + w["mix/bias"]
        expected[:, :, d] = fields0[:, :, d] * (mixed + 0.7 * fields[:, :, d])
    np.testing.assert_allclose(expert(x0, x), expected.reshape(3, 12), rtol=1e-4, atol=1e-5)


def test_gradients_agree_with_differences():
    with float64_layers():
        expert = VectorCrossExpert(2, diag_scale=0.3)
        x0, x = np.random.default_rng(0).normal(size=(2, 3, 4))
        expert(x0, x)
        random_weights(expert)
        check_gradients(expert, x0, x)


def test_config_round_trip():
    loaded = config_round_trip(VectorCrossExpert(3, diag_scale=0.5))
    assert (loaded.num_fields, loaded.diag_scale) == (3, 0.5)


@pytest.mark.parametrize(("diag_scale", "diagonal"), [(0.0, 0), (0.5, 2 * 10)])
def test_flops_by_hand(diag_scale, diagonal):
    expert = VectorCrossExpert(2, diag_scale=diag_scale)
    expert.build((None, 10), (None, 10))
    # A product of 2 x 2 for each of 5 elements, the bias, the product with x0.
    assert expert.flops() == 5 * 2 * 2 * 2 + 10 + 10 + diagonal


def test_flops_of_the_defaults_at_criteos_size():
    assert default_megaflops("vector_cross") == pytest.approx((2 * 39 * 39 * 16 + 2 * 624) / 1e6)
