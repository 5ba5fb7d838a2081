import numpy as np
import pytest
from expert_checks import default_megaflops
from layer_checks import check_gradients, config_round_trip, float64_layers, random_weights

from ada_ensemble_tf.experts import ResidualDNNExpert


def test_output_by_hand():
    expert = ResidualDNNExpert(1, num_layers=1, reduction=2)
    expert.build((None, 2), (None, 2))
    (unit,) = expert.units
    unit.inner.dense_layers[0].kernel.assign([[1], [2]])
    unit.inner.dense_layers[0].bias.assign([-1])
    unit.outer.kernel.assign([[1, -1]])
    unit.outer.bias.assign([0, 5])
    x = np.array([[1, 2], [-3, 1], [0, -9]], np.float32)
    # The inner unit gives 4, 0 and 0; -3 and -9 + 5 are cut at 0.
    assert expert(np.full_like(x, np.nan), x).numpy().tolist() == [[5, 3], [0, 6], [0, 0]]


@pytest.mark.parametrize(("num_layers", "reduction", "inner"), [(1, 2, 4), (2, 3, 2), (3, 16, 1)])
def test_output_agrees_with_numpy(num_layers, reduction, inner):
    expert = ResidualDNNExpert(4, num_layers, reduction)
    x0, x = np.random.default_rng(1).normal(size=(2, 5, 8)).astype(np.float32)
    expert(x0, x)
    w = random_weights(expert)
    assert w["unit_1/inner/dense_1/kernel"].shape == (8, inner)
    h = x
    for i in range(1, num_layers + 1):
        unit = f"unit_{i}"
        a = np.maximum(h @ w[f"{unit}/inner/dense_1/kernel"] + w[f"{unit}/inner/dense_1/bias"], 0)
        h = np.maximum(a @ w[f"{unit}/outer/kernel"] + w[f"{unit}/outer/bias"] + h, 0)
    np.testing.assert_allclose(expert(x0, x), h, rtol=1e-4, atol=1e-5)


def test_gradients_agree_with_differences():
    with float64_layers():
        expert = ResidualDNNExpert(2, reduction=2)
        x0, x = np.random.default_rng(0).normal(size=(2, 3, 4))
        expert(x0, x)
        random_weights(expert)
        check_gradients(expert, x0, x)


def test_config_round_trip():
    loaded = config_round_trip(ResidualDNNExpert(3, num_layers=1, reduction=2))
    assert (loaded.num_fields, loaded.num_layers, loaded.reduction) == (3, 1, 2)


@pytest.mark.parametrize("num_layers", [1, 3])
def test_flops_are_two_a_weight_and_the_residuals(num_layers):
    expert = ResidualDNNExpert(2, num_layers, reduction=5)
    expert.build((None, 20), (None, 20))
    weights = sum(np.prod(v.shape) for v in expert.weights if v.path.endswith("kernel"))
    assert expert.flops() == 2 * weights + num_layers * 20


@pytest.mark.parametrize("argument", ["num_layers", "reduction"])
def test_arguments_below_one_are_refused(argument):
    with pytest.raises(ValueError, match=f"{argument} must be a whole number of at least 1; received 0"):
        ResidualDNNExpert(3, **{argument: 0})


def test_flops_of_the_defaults_at_criteos_size():
    # Twice M -> 156 -> M and the residual.
    assert default_megaflops("residual_dnn") == pytest.approx(2 * (2 * 2 * 624 * 156 + 624) / 1e6, abs=0.0006)
