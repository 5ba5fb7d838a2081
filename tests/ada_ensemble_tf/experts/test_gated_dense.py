import numpy as np
import pytest
from expert_checks import default_megaflops
from layer_checks import check_gradients, config_round_trip, float64_layers, random_weights

from ada_ensemble_tf.experts import GatedDenseExpert


def test_output_by_hand():
    expert = GatedDenseExpert(1, reduction=2)
    expert.build((None, 2), (None, 2))
    expert.squeeze.kernel.assign([[1], [1]])
    expert.squeeze.bias.assign([-1])
    expert.excite.kernel.assign([[np.log(3), 0]])
    expert.excite.bias.assign([0, 0])
    expert.dense.kernel.assign(np.eye(2))
    expert.dense.bias.assign([1, -5])
    x0 = np.array([[1, 1], [0, 0]], np.float32)
    x = np.array([[1, 7], [1, 1]], np.float32)
    # Row 0: the FFN gives (log 3, 0), the gate is 2 (3/4, 1/2). Row 1: the FFN is silent, the gate is 1.
    np.testing.assert_allclose(expert(x0, x), [[1.5 * 2, 1 * 2], [2, 0]], rtol=1e-6)


@pytest.mark.parametrize(("reduction", "inner"), [(2, 4), (3, 2), (16, 1)])
def test_output_agrees_with_numpy(reduction, inner):
    expert = GatedDenseExpert(4, activation="tanh", reduction=reduction)
    x0, x = np.random.default_rng(1).normal(size=(2, 5, 8)).astype(np.float32)
    expert(x0, x)
    w = random_weights(expert)
    assert w["squeeze/kernel"].shape == (8, inner)
    hidden = np.maximum(x0 @ w["squeeze/kernel"] + w["squeeze/bias"], 0)
    gate = 2 / (1 + np.exp(-(hidden @ w["excite/kernel"] + w["excite/bias"])))
    expected = gate * np.tanh(x @ w["dense/kernel"] + w["dense/bias"])
    np.testing.assert_allclose(expert(x0, x), expected, rtol=1e-4, atol=1e-5)


def test_gradients_agree_with_differences():
    with float64_layers():
        expert = GatedDenseExpert(2, reduction=2)
        x0, x = np.random.default_rng(0).normal(size=(2, 3, 4))
        expert(x0, x)
        random_weights(expert)
        check_gradients(expert, x0, x)


def test_config_round_trip():
    loaded = config_round_trip(GatedDenseExpert(3, activation="tanh", reduction=4))
    assert (loaded.num_fields, loaded.activation, loaded.reduction) == (3, "tanh", 4)


def test_flops_are_two_a_weight():
    expert = GatedDenseExpert(2, reduction=5)
    expert.build((None, 20), (None, 20))
    assert expert.flops() == 2 * (20 * 20 + 20 * 4 + 4 * 20)


def test_flops_of_the_defaults_at_criteos_size():
    # AdaEnsemble (arXiv 2301.08353), table 2.
    assert default_megaflops("gated_dense") == pytest.approx(0.876, abs=0.0006)
