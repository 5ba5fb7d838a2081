import numpy as np
import pytest
import tensorflow as tf
from expert_checks import default_megaflops
from layer_checks import config_round_trip, random_weights

from ada_ensemble_tf.experts import GatedDNNExpert


def test_output_by_hand():
    expert = GatedDNNExpert(1, num_layers=1, reduction=2)
    expert.build((None, 2), (None, 2))
    expert.hidden[0].kernel.assign([[1, 0], [0, 1]])
    expert.hidden[0].bias.assign([0, -3])
    expert.squeeze[0].kernel.assign([[1], [-1]])
    expert.excite[0].kernel.assign([[np.log(3) / 3, 7]])
    expert.project.kernel.assign([[1, 0], [1, 1]])
    expert.project.bias.assign([0, 10])
    x = np.array([[4, 1], [4, 5]], np.float32)
    # Row 0: the squeezed input is 3 and the first gate 2 * 3/4. Row 1: it is cut at 0, so both gates are 1.
    np.testing.assert_allclose(expert(np.full_like(x, np.nan), x), [[6, 10], [6, 12]], rtol=1e-6)


def numpy_gated_dnn(w: dict, x: np.ndarray, gated_by: np.ndarray, num_layers: int) -> np.ndarray:
    h = x
    for i in range(1, num_layers + 1):
        squeezed = np.tanh(gated_by @ w[f"squeeze_{i}/kernel"] + w[f"squeeze_{i}/bias"])
        gate = 2 / (1 + np.exp(-(squeezed @ w[f"excite_{i}/kernel"] + w[f"excite_{i}/bias"])))
        h = gate * np.tanh(h @ w[f"hidden_{i}/kernel"] + w[f"hidden_{i}/bias"])
    return h @ w["project/kernel"] + w["project/bias"]


@pytest.mark.parametrize(("num_layers", "reduction", "inner"), [(1, 2, 4), (2, 3, 2), (3, 16, 1)])
def test_output_agrees_with_numpy(num_layers, reduction, inner):
    expert = GatedDNNExpert(4, num_layers, activation="tanh", reduction=reduction)
    x0, x = np.random.default_rng(1).normal(size=(2, 5, 8)).astype(np.float32)
    expert(x0, x)
    w = random_weights(expert)
    assert w["squeeze_1/kernel"].shape == (8, inner)
    np.testing.assert_allclose(expert(x0, x), numpy_gated_dnn(w, x, x, num_layers), rtol=1e-4, atol=1e-5)


def test_gradients_agree_with_differences_that_hold_the_gates_input_fixed():
    expert = GatedDNNExpert(2, activation="tanh", reduction=2)
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    expert(x, x)
    w = {path: value.astype(np.float64) for path, value in random_weights(expert).items()}
    inputs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        total = tf.reduce_sum(expert(inputs, inputs) ** 2)
    gradients = tape.gradient(total, [inputs, expert.squeeze[1].kernel.value])

    def loss(moved_x=x, **changed) -> float:
        return (numpy_gated_dnn(w | changed, moved_x, x.astype(np.float64), 2) ** 2).sum()

    for place in np.ndindex(x.shape):
        moved = [x.astype(np.float64), x.astype(np.float64)]
        moved[0][place] += 1e-5
        moved[1][place] -= 1e-5
        slope = (loss(moved[0]) - loss(moved[1])) / 2e-5
        np.testing.assert_allclose(gradients[0][place], slope, rtol=1e-3, atol=1e-3)
    for place in np.ndindex(4, 2):
        moved = [w["squeeze_2/kernel"].copy(), w["squeeze_2/kernel"].copy()]
        moved[0][place] += 1e-5
        moved[1][place] -= 1e-5
        slope = (loss(**{"squeeze_2/kernel": moved[0]}) - loss(**{"squeeze_2/kernel": moved[1]})) / 2e-5
        np.testing.assert_allclose(gradients[1][place], slope, rtol=1e-3, atol=1e-3)


def test_config_round_trip():
    loaded = config_round_trip(GatedDNNExpert(3, num_layers=1, activation="tanh", reduction=2))
    assert (loaded.num_fields, loaded.num_layers, loaded.activation, loaded.reduction) == (3, 1, "tanh", 2)


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_flops_are_two_a_weight_and_the_gates_products(num_layers):
    expert = GatedDNNExpert(2, num_layers, reduction=5)
    expert.build((None, 20), (None, 20))
    weights = sum(np.prod(v.shape) for v in expert.weights if v.path.endswith("kernel"))
    assert expert.flops() == 2 * weights + num_layers * 20


@pytest.mark.parametrize("argument", ["num_layers", "reduction"])
def test_arguments_below_one_are_refused(argument):
    with pytest.raises(ValueError, match=f"{argument} must be a whole number of at least 1; received 0"):
        GatedDNNExpert(3, **{argument: 0})


def test_flops_of_the_defaults_at_criteos_size():
    # Three layers M -> M, two gates M -> M / 16 -> M and their products.
    flops = 2 * (3 * 624 * 624 + 2 * 2 * 624 * 39) + 2 * 624
    assert default_megaflops("gated_dnn") == pytest.approx(flops / 1e6)
