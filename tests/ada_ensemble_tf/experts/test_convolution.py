import numpy as np
import pytest
from expert_checks import default_megaflops
from layer_checks import check_gradients, config_round_trip, float64_layers, random_weights

from ada_ensemble_tf.experts import ConvolutionExpert


def looped_convolution(w: dict, x: np.ndarray, kernel_size: int, pool_size: int) -> np.ndarray:
    """The expert without activations, one element at a time."""
    outputs = []
    for row in x:
        sequence = row @ w["shorten/kernel"] + w["shorten/bias"]
        convolved = []
        for start in range(len(sequence) - kernel_size + 1):
            features = []
            for f, bias in enumerate(w["convolve/bias"]):
                total = bias
                for i in range(kernel_size):
                    total += w["convolve/kernel"][i, f] * sequence[start + i]
                features.append(total)
            convolved.append(features)
        flat = []
        for start in range(0, len(convolved) - pool_size + 1, pool_size):
            window = convolved[start : start + pool_size]
            flat.extend(max(features[f] for features in window) for f in range(len(w["convolve/bias"])))
        outputs.append(np.array(flat) @ w["project/kernel"] + w["project/bias"])
    return np.array(outputs)


@pytest.mark.parametrize(
    ("num_fields", "kernel_size", "pool_size"),
    # 15 // 2 = 7 elements, 5 positions, 2 pools and a position left over; the others leave 0, 1 and 2 over.
    [(15, 3, 2), (12, 3, 2), (10, 1, 4), (10, 1, 3), (8, 4, 1)],
)
def test_output_agrees_with_loops(num_fields, kernel_size, pool_size):
    expert = ConvolutionExpert(num_fields, 3, kernel_size, pool_size)
    x0, x = np.random.default_rng(0).normal(size=(2, 4, 2 * num_fields)).astype(np.float32)
    expert(x0, x)
    weights = random_weights(expert)
    expected = looped_convolution(weights, x, kernel_size, pool_size)
    np.testing.assert_allclose(expert(x0, x), expected, rtol=1e-4, atol=1e-4)


def test_an_activation_follows_the_first_dense_and_the_convolution():
    expert = ConvolutionExpert(1, filters=1, kernel_size=1, pool_size=1, activation="relu")
    expert.build((None, 1), (None, 1))
    for layer, weights in ((expert.shorten, (1, 0)), (expert.convolve, (-1, 4)), (expert.project, (1, -10))):
        layer.kernel.assign(np.full(layer.kernel.shape, weights[0]))
        layer.bias.assign([weights[1]])
    x = np.array([[-3], [1], [9]], np.float32)
    # relu(x) = 0, 1, 9; relu(4 - that) = 4, 3, 0.
    assert expert(x, x).numpy().tolist() == [[-6], [-7], [-10]]


def test_gradients_agree_with_differences():
    with float64_layers():
        expert = ConvolutionExpert(8, filters=3, kernel_size=2, pool_size=2, activation="tanh")
        x0, x = np.random.default_rng(0).normal(size=(2, 2, 8))
        expert(x0, x)
        random_weights(expert)
        check_gradients(expert, x0, x)


def test_config_round_trip():
    loaded = config_round_trip(ConvolutionExpert(20, 5, 3, 4, activation="tanh"))
    sizes = (loaded.num_fields, loaded.filters, loaded.kernel_size, loaded.pool_size, loaded.activation)
    assert sizes == (20, 5, 3, 4, "tanh")


@pytest.mark.parametrize("num_fields, length", [(1, 5), (9, 5), (10, 5), (12, 6), (39, 19)])
def test_sequence_is_as_long_as_one_pool_at_least(num_fields, length):
    expert = ConvolutionExpert(num_fields)
    x = np.ones((2, num_fields), np.float32)
    assert expert(x, x).shape == (2, num_fields)
    assert expert.shorten.units == length and expert.pooled >= 1


def test_flops_of_the_defaults_at_criteos_size():
    # AdaEnsemble (arXiv 2301.08353), table 2.
    assert default_megaflops("convolution") == pytest.approx(0.186, abs=0.0006)
