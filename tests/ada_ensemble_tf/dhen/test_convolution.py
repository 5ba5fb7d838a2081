import dhen_reference
import numpy as np
import pytest
import tensorflow as tf
from layer_checks import config_round_trip, random_weights

from ada_ensemble_tf.dhen import ConvolutionModule


def test_by_hand():
    module = ConvolutionModule(1, filters=1, kernel_size=2)
    module.build((None, 2, 2))
    module.convolve.kernel.assign([[1.0], [10.0], [100.0], [1000.0]])
    module.convolve.bias.assign([-25.0])
    module.project.kernel.assign([[1.0], [-1.0]])
    # Windows to the right and below of [[1, 2], [3, 4]]: 1 + 20 + 300 + 4000, 2 + 400; 3 + 40, 4 (rectified to 0).
    np.testing.assert_allclose(module(tf.constant([[[1.0, 2.0], [3.0, 4.0]]])), [[[4296.0 - 18.0, 377.0 - 0.0]]])
    assert module.flops() == 2 * 2 * 2 * 4 * 1 + 2 * 2 * 1 * 2


@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 5])
def test_agrees_with_tensorflow_and_loops(kernel_size):
    module = ConvolutionModule(2, filters=3, kernel_size=kernel_size)
    x = np.random.default_rng(0).normal(size=(3, 4, 3)).astype(np.float32)
    module.build(x.shape)
    weights = {f"m/{path}": value for path, value in random_weights(module).items()}
    kernel = weights["m/convolve/kernel"].reshape(kernel_size, kernel_size, 1, 3)
    maps = tf.nn.relu(tf.nn.conv2d(x[..., None], kernel, 1, "SAME") + weights["m/convolve/bias"])
    stacked = tf.concat(tf.unstack(maps, axis=-1), axis=1)
    expected = tf.einsum("bmd,ml->bld", stacked, weights["m/project/kernel"])
    np.testing.assert_allclose(module(x), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(dhen_reference.convolution(weights, "m", x), expected, rtol=1e-4, atol=1e-4)


def test_config_and_wrong_arguments():
    loaded = config_round_trip(ConvolutionModule(2, 3, 5, "tanh"))
    assert (loaded.num_outputs, loaded.filters, loaded.kernel_size, loaded.activation) == (2, 3, 5, "tanh")
    for arguments in ({"filters": 0}, {"kernel_size": 0}):
        with pytest.raises(ValueError, match="filters and kernel_size must be at least 1; received filters="):
            ConvolutionModule(2, **arguments)
