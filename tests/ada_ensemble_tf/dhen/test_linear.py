import numpy as np
import pytest
import tensorflow as tf
from layer_checks import check_gradients, check_zero_rows, config_round_trip, float64_layers, random_weights, round_trip

from ada_ensemble_tf.dhen import LinearModule, ListProjection

X = np.random.default_rng(0).normal(size=(2, 3, 2)).astype(np.float32)


def test_linear_by_hand():
    module = LinearModule(1, name="linear_module")
    module.build((None, 2, 2))
    module.project.kernel.assign([[2.0], [-3.0]])
    # 2 (1, 10) - 3 (4, 5): embeddings are summed, their dimensions are not mixed.
    np.testing.assert_allclose(module(tf.constant([[[1.0, 10.0], [4.0, 5.0]]])), [[[-10.0, 5.0]]])
    assert [weight.path for weight in module.weights] == ["linear_module/project/kernel"]
    assert module.flops() == 2 * 2 * 1 * 2


def test_projection_of_the_list():
    projection = ListProjection(4)
    projection.build((None, 3, 2))
    assert projection.kernel.shape == (3, 4) and projection.flops() == 2 * 3 * 4 * 2
    assert projection.compute_output_shape((None, 3, 2)) == (None, 4, 2)
    check_zero_rows(projection, X)
    before, after = round_trip(projection, X)
    np.testing.assert_array_equal(before, after)
    assert config_round_trip(projection).num_outputs == 4
    with float64_layers():
        projection = ListProjection(2)
        projection.build((None, 3, 2))
        random_weights(projection)
        check_gradients(projection, X.astype(np.float64))


def test_wrong_projections():
    with pytest.raises(ValueError, match="num_outputs must be at least 1; received 0"):
        ListProjection(0)
    with pytest.raises(ValueError, match="x must be a list of embeddings"):
        ListProjection(2).build((None, 6))
