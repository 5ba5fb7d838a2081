import numpy as np
import pytest
from expert_checks import default_megaflops
from layer_checks import check_gradients, config_round_trip, float64_layers, random_weights

from ada_ensemble_tf.experts import CrossExpert


def test_output_by_hand():
    expert = CrossExpert(1)
    expert.build((None, 2), (None, 2))
    expert.dense.kernel.assign([[1, 2], [3, 4]])
    expert.dense.bias.assign([10, 20])
    x0 = np.array([[2, 3], [-1, 0]], np.float32)
    x = np.array([[1, 1], [1, 0]], np.float32)
    # The bias is multiplied by x0 too.
    assert expert(x0, x).numpy().tolist() == [[2 * 14, 3 * 26], [-11, 0]]


def test_the_scale_is_added_to_the_diagonal():
    plain, scaled = CrossExpert(2), CrossExpert(2, diag_scale=0.5)
    x0, x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    for expert in (plain, scaled):
        expert(x0, x)
        w = random_weights(expert)
    plain.dense.kernel.assign(w["dense/kernel"] + 0.5 * np.eye(4))
    np.testing.assert_allclose(scaled(x0, x), plain(x0, x), rtol=1e-5, atol=1e-6)


def test_gradients_agree_with_differences():
    with float64_layers():
        expert = CrossExpert(2, diag_scale=0.3)
        x0, x = np.random.default_rng(0).normal(size=(2, 3, 4))
        expert(x0, x)
        random_weights(expert)
        check_gradients(expert, x0, x)


def test_config_round_trip():
    loaded = config_round_trip(CrossExpert(3, diag_scale=0.5))
    assert (loaded.num_fields, loaded.diag_scale) == (3, 0.5)


def test_flops_are_two_a_weight_and_bias_and_product():
    expert = CrossExpert(2)
    expert.build((None, 10), (None, 10))
    assert expert.flops() == 2 * 10 * 10 + 10 + 10
    expert.diag_scale = 1.0
    assert expert.flops() == 2 * 10 * 10 + 10 + 2 * 10 + 10


def test_a_negative_scale_is_refused():
    with pytest.raises(ValueError, match="diag_scale must be a finite number of at least 0; received -1.0"):
        CrossExpert(3, diag_scale=-1.0)


def test_flops_of_the_defaults_at_criteos_size():
    # AdaEnsemble (arXiv 2301.08353), table 2.
    assert default_megaflops("cross") == pytest.approx(0.780, abs=0.0006)
