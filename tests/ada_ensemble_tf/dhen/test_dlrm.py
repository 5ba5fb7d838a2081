import dhen_reference
import numpy as np
import pytest
import tensorflow as tf
from layer_checks import config_round_trip, random_weights

from ada_ensemble_tf.dhen import DLRMModule


def test_by_hand():
    module = DLRMModule(1, hidden_units=(1,))
    module.build((None, 3, 2))
    assert module.mlp.dense_layers[0].kernel.shape == (6 + 3, 1)
    # Only pairs: <a, b> = 1, <a, c> = 2, <b, c> = -1, weighted by 1, 10 and 100.
    module.mlp.dense_layers[0].kernel.assign([[0.0]] * 6 + [[1.0], [10.0], [100.0]])
    module.mlp.dense_layers[0].bias.assign([80.0])
    module.project.kernel.assign([[2.0, -1.0]])
    module.project.bias.assign([0.5, 0.25])
    x = tf.constant([[[1.0, 2.0], [-1.0, 1.0], [4 / 3, 1 / 3]]])
    np.testing.assert_allclose(module(x), [[[2.0 * 1.0 + 0.5, -1.0 + 0.25]]], rtol=1e-5)


@pytest.mark.parametrize("compressed", [2, 3, 6])
def test_compressed_pairs_agree_with_loops(compressed):
    x = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
    module = DLRMModule(2, hidden_units=(5, 4), compressed=compressed)
    module.build(x.shape)
    weights = {f"m/{path}": value for path, value in random_weights(module).items()}
    assert weights["m/compress/kernel"].shape == (4, compressed)
    np.testing.assert_allclose(module(x), dhen_reference.dlrm(weights, "m", x), rtol=1e-3, atol=1e-3)


def test_flops_by_hand():
    module = DLRMModule(2, hidden_units=(5,), compressed=3)
    module.build((None, 4, 2))
    assert module.flops() == 2 * (4 * 3 * 2 + 3 * 3 * 2 + (8 + 3) * 5 + 5 * 4)
    module = DLRMModule(2, hidden_units=(5,))
    module.build((None, 4, 2))
    assert module.flops() == 2 * (4 * 4 * 2 + (8 + 6) * 5 + 5 * 4)


def test_config_and_wrong_arguments():
    module = DLRMModule(2, (5, 4), 3, "tanh")
    config = config_round_trip(module).get_config()
    assert config == module.get_config()
    assert (config["hidden_units"], config["compressed"], config["activation"]) == ([5, 4], 3, "tanh")
    for compressed in (-1, 1):
        with pytest.raises(ValueError, match="compressed must be at least 2, or 0 for no compression; received"):
            DLRMModule(2, compressed=compressed)
    with pytest.raises(ValueError, match="hidden_units must be one or more positive sizes"):
        DLRMModule(2, hidden_units=())
