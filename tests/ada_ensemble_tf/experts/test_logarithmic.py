import numpy as np
import pytest
import tensorflow as tf
from expert_checks import default_megaflops
from layer_checks import check_gradients, config_round_trip, float64_layers, random_weights

from ada_ensemble_tf.experts import LogarithmicExpert


def test_output_by_hand():
    expert = LogarithmicExpert(2, neurons=2)
    expert.build((None, 2), (None, 2))
    # The first neuron is |a|^2 / |b|, the second the root of |b|.
    expert.powers.kernel.assign([[2, 0], [-1, 0.5]])
    expert.project.kernel.assign([[1, 0], [0, 10]])
    expert.project.bias.assign([0, 1])
    x = np.array([[6, 4], [-6, -4], [0, 1]], np.float32)
    expected = [[9, 21], [9, 21], [1e-8, 11]]
    np.testing.assert_allclose(expert(np.full_like(x, np.nan), x), expected, rtol=1e-5)


def test_output_agrees_with_powers():
    expert = LogarithmicExpert(4, neurons=3, floor=0.01, max_exponent=2.0)
    x0, x = np.random.default_rng(1).normal(size=(2, 50, 12)).astype(np.float32)
    x[0, 3] = 0.0
    expert(x0, x)
    w = random_weights(expert)
    magnitudes = np.maximum(np.abs(x.reshape(50, 4, 1, 3)), 0.01)
    products = np.prod(magnitudes ** w["powers/kernel"][:, :, None], axis=1)
    assert (products > np.exp(2)).any() and (products < np.exp(2)).any()
    flat = np.minimum(products, np.exp(2)).transpose(0, 2, 1).reshape(50, 9)
    expected = flat @ w["project/kernel"] + w["project/bias"]
    np.testing.assert_allclose(expert(x0, x), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("value", [0.0, 1e-30, 1e30, -1e30])
def test_output_and_gradients_stay_finite(value):
    expert = LogarithmicExpert(4)
    x = tf.fill([2, 8], value)
    expert(x, x)
    random_weights(expert)
    with tf.GradientTape() as tape:
        tape.watch(x)
        output = expert(x, x)
        total = tf.reduce_sum(output)
    assert np.isfinite(output).all()
    for gradient in tape.gradient(total, [x, *(v.value for v in expert.trainable_variables)]):
        assert np.isfinite(gradient).all()


def test_gradients_agree_with_differences():
    with float64_layers():
        expert = LogarithmicExpert(3, neurons=2)
        x0, x = np.random.default_rng(0).normal(size=(2, 2, 6))
        expert(x0, x)
        random_weights(expert)
        check_gradients(expert, x0, x, rtol=1e-5, atol=1e-6)


def test_config_round_trip():
    loaded = config_round_trip(LogarithmicExpert(5, neurons=7, floor=0.1, max_exponent=3.0))
    assert (loaded.num_fields, loaded.neurons, loaded.floor, loaded.max_exponent) == (5, 7, 0.1, 3.0)


def test_flops_by_hand():
    expert = LogarithmicExpert(3, neurons=5)
    expert.build((None, 6), (None, 6))
    # 3 -> 5 for both dimensions, 10 -> 6.
    assert expert.flops() == 2 * (2 * 3 * 5 + 10 * 6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"neurons": 0}, "neurons must be at least 1; received 0"),
        ({"floor": 0.0}, "floor must be positive; received 0.0"),
        ({"max_exponent": 0.0}, r"max_exponent must lie in \(0, 80\]; received 0.0"),
        ({"max_exponent": 81.0}, r"max_exponent must lie in \(0, 80\]; received 81.0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LogarithmicExpert(5, **arguments)


def test_flops_of_the_defaults_at_criteos_size():
    # 39 -> 32 for each of D, 32 D -> M.
    assert default_megaflops("logarithmic") == pytest.approx(2 * (39 * 32 * 16 + 512 * 624) / 1e6, abs=0.0006)
