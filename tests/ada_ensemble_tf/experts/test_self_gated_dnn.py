import numpy as np
import pytest
from expert_checks import default_megaflops
from layer_checks import check_gradients, config_round_trip, float64_layers, random_weights

from ada_ensemble_tf.experts import SelfGatedDNNExpert


def test_output_by_hand():
    expert = SelfGatedDNNExpert(1, num_layers=1, reduction=2)
    expert.build((None, 2), (None, 2))
    expert.hidden[0].kernel.assign([[1], [2]])
    expert.hidden[0].bias.assign([-1])
    expert.gates[0].kernel.assign([[np.log(3) / 4]])
    expert.gates[0].bias.assign([0])
    expert.project.kernel.assign([[1, -2]])
    expert.project.bias.assign([0, 10])
    x = np.array([[1, 2], [0, 0]], np.float32)
    # Row 0: a = 4, its gate sigmoid(log 3) = 3/4. Row 1: a is cut at 0.
    np.testing.assert_allclose(expert(np.full_like(x, np.nan), x), [[3, 4], [0, 10]], rtol=1e-6)


@pytest.mark.parametrize(("num_layers", "reduction", "inner"), [(1, 2, 4), (2, 3, 2), (3, 16, 1)])
def test_output_agrees_with_numpy(num_layers, reduction, inner):
    expert = SelfGatedDNNExpert(4, num_layers, activation="tanh", reduction=reduction)
    x0, x = np.random.default_rng(1).normal(size=(2, 5, 8)).astype(np.float32)
    expert(x0, x)
    w = random_weights(expert)
    assert w["hidden_1/kernel"].shape == (8, inner)
    h = x
    for i in range(1, num_layers + 1):
        a = np.tanh(h @ w[f"hidden_{i}/kernel"] + w[f"hidden_{i}/bias"])
        h = a / (1 + np.exp(-(a @ w[f"gate_{i}/kernel"] + w[f"gate_{i}/bias"])))
    expected = h @ w["project/kernel"] + w["project/bias"]
    np.testing.assert_allclose(expert(x0, x), expected, rtol=1e-4, atol=1e-5)


def test_gradients_agree_with_differences():
    with float64_layers():
        expert = SelfGatedDNNExpert(2, reduction=2)
        x0, x = np.random.default_rng(0).normal(size=(2, 3, 4))
        expert(x0, x)
        random_weights(expert)
        check_gradients(expert, x0, x)


def test_config_round_trip():
    loaded = config_round_trip(SelfGatedDNNExpert(3, num_layers=1, activation="tanh", reduction=2))
    assert (loaded.num_fields, loaded.num_layers, loaded.activation, loaded.reduction) == (3, 1, "tanh", 2)


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_flops_are_two_a_weight_and_the_gates_products(num_layers):
    expert = SelfGatedDNNExpert(2, num_layers, reduction=5)
    expert.build((None, 20), (None, 20))
    weights = sum(np.prod(v.shape) for v in expert.weights if v.path.endswith("kernel"))
    assert expert.flops() == 2 * weights + num_layers * 4


@pytest.mark.parametrize("argument", ["num_layers", "reduction"])
def test_arguments_below_one_are_refused(argument):
    with pytest.raises(ValueError, match=f"{argument} must be a whole number of at least 1; received 0"):
        SelfGatedDNNExpert(3, **{argument: 0})


def test_flops_of_the_defaults_at_criteos_size():
    # M -> 156, 156 -> 156 thrice (two gates, a layer), 156 -> M.
    assert default_megaflops("self_gated_dnn") == pytest.approx(
        (2 * (624 * 156 + 3 * 156 * 156 + 156 * 624) + 2 * 156) / 1e6, abs=0.0006
    )
