import numpy as np
import tensorflow as tf

from ada_ensemble_tf.dhen import DeepCrossModule


def test_by_hand():
    module = DeepCrossModule(1)
    module.build((None, 3, 2))
    assert module.kernel.shape == (2, 1) and module.bias.shape == (1, 2)
    module.kernel.assign([[10.0], [1.0]])
    module.bias.assign([[0.5, -0.5]])
    # Columns (1, 2), (3, 0), (0, -1): X X^T = [[10, 2], [2, 5]]; times (10, 1) it is (102, 25).
    x = tf.constant([[[1.0, 2.0], [3.0, 0.0], [0.0, -1.0]]])
    np.testing.assert_allclose(module(x), [[[102.5, 24.5]]])
    assert module.flops() == 2 * (2 * 2 * 3 + 2 * 2 * 1)


def test_the_order_of_the_list_does_not_matter():
    x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    module = DeepCrossModule(2)
    np.testing.assert_allclose(module(x), module(x[:, ::-1]), rtol=1e-5, atol=1e-6)
