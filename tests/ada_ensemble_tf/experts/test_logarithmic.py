import numpy as np
import pytest
import tensorflow as tf
from expert_checks import default_megaflops
from layer_checks import check_gradients, config_round_trip, float64_layers, random_weights

from ada_ensemble_tf.experts import LogarithmicExpert
from ada_ensemble_tf.layers.normalization import frozen_statistics


def test_output_by_hand():
    expert = LogarithmicExpert(2, neurons=2)
    expert.build((None, 2), (None, 2))
    # The first neuron is |a|^2 / |b|, the second the root of |b|. Untrained statistics only divide by sqrt(1.001).
    expert.powers.kernel.assign(np.array([[2, 0], [-1, 0.5]]) * 1.001**0.5)
    expert.project.kernel.assign(np.array([[1, 0], [0, 10]]) * 1.001**0.5)
    expert.project.bias.assign([0, 1])
    x = np.array([[6, 4], [-6, -4], [0, 1], [1e6, 1]], np.float32)
    # Magnitudes are at least 1e-4 and at most 1e4; the product is at most exp(10).
    expected = [[9, 21], [9, 21], [1e-8, 11], [np.exp(10), 11]]
    np.testing.assert_allclose(expert(np.full_like(x, np.nan), x), expected, rtol=1e-4, atol=1e-6)


def numpy_logarithmic(w: dict, x: np.ndarray, num_fields: int, cap: float, training: bool) -> np.ndarray:
    """One element of the embeddings at a time, floor 0.01."""

    def normalized(values: np.ndarray, name: str, d: int) -> np.ndarray:
        mean, variance = w[f"{name}/moving_mean"][d], w[f"{name}/moving_variance"][d]
        if training:
            mean, variance = values.mean(), values.var()
        return (values - mean) / np.sqrt(variance + 1e-3) * w[f"{name}/gamma"][d] + w[f"{name}/beta"][d]

    fields = x.reshape(len(x), num_fields, -1)
    scaled = []
    for d in range(fields.shape[2]):
        logarithms = normalized(np.log(np.clip(np.abs(fields[:, :, d]), 0.01, 100)), "normalize_logarithms", d)
        products = np.exp(np.minimum(logarithms @ w["powers/kernel"], cap))
        scaled.append(normalized(products, "normalize_products", d))
    return np.stack(scaled, axis=2).reshape(len(x), -1) @ w["project/kernel"] + w["project/bias"]


@pytest.mark.parametrize("training", [False, True])
def test_output_agrees_with_numpy(training):
    expert = LogarithmicExpert(4, neurons=3, floor=0.01, max_exponent=2.0)
    x0, x = np.random.default_rng(1).normal(size=(2, 50, 12)).astype(np.float32)
    x[0, 3], x[1, 5] = 0.0, 1e4
    expert(x0, x)
    w = random_weights(expert)
    expected = numpy_logarithmic(w, x, 4, 2.0, training)
    # The bound is reached.
    assert np.abs(expected - numpy_logarithmic(w, x, 4, 3.0, training)).max() > 0.1
    np.testing.assert_allclose(expert(x0, x, training=training), expected, rtol=1e-3, atol=1e-3)


def test_training_moves_the_statistics_but_for_gate_updates():
    expert = LogarithmicExpert(2, neurons=2)
    x = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    expert(x, x)
    with frozen_statistics():
        expert(x, x, training=True)
    assert expert.normalize_logarithms.moving_mean.numpy().tolist() == [0, 0]
    expert(x, x, training=True)
    means = np.log(np.clip(np.abs(x), 1e-4, 1e4)).reshape(16, 2).mean(axis=0)
    np.testing.assert_allclose(expert.normalize_logarithms.moving_mean, 0.1 * means, rtol=1e-5)
    assert (expert.normalize_products.moving_mean.numpy() > 0).all()


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("value", [0.0, 1e-30, 1e30, -1e30])
def test_output_and_gradients_stay_finite(value, training):
    expert = LogarithmicExpert(4)
    x = tf.fill([2, 8], value)
    expert(x, x)
    random_weights(expert)
    with tf.GradientTape() as tape:
        tape.watch(x)
        output = expert(x, x, training=training)
        total = tf.reduce_sum(output)
    assert np.isfinite(output).all()
    for gradient in tape.gradient(total, [x, *(v.value for v in expert.trainable_variables)]):
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("training", [False, True])
def test_gradients_agree_with_differences(training):
    with float64_layers():
        expert = LogarithmicExpert(3, neurons=2)
        x0, x = np.random.default_rng(0).normal(size=(2, 3, 6))
        expert(x0, x)
        random_weights(expert)
        check_gradients(expert, x0, x, rtol=1e-5, atol=1e-6, training=training)


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
        ({"neurons": 0}, "neurons must be a whole number of at least 1; received 0"),
        ({"floor": 0.0}, "floor must lie between 0 and 1; received 0.0"),
        ({"floor": 1.0}, "floor must lie between 0 and 1; received 1.0"),
        ({"max_exponent": 0.0}, r"max_exponent must lie in \(0, 30\]; received 0.0"),
        ({"max_exponent": 31.0}, r"max_exponent must lie in \(0, 30\]; received 31.0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LogarithmicExpert(5, **arguments)


def test_flops_of_the_defaults_at_criteos_size():
    # 39 -> 32 for each of D, 32 D -> M.
    assert default_megaflops("logarithmic") == pytest.approx(2 * (39 * 32 * 16 + 512 * 624) / 1e6, abs=0.0006)
