import keras
import numpy as np
import pytest
import tensorflow as tf
from layer_checks import check_zero_rows, config_round_trip, round_trip

from ada_ensemble_tf.embedding import FusedEmbedding

IDS = np.array([[0, 3, 1], [2, 2, 0]], np.int32)


def numbered_embedding() -> FusedEmbedding:
    """4 rows of 2: [0, 1], [10, 11], [20, 21], [30, 31]."""
    layer = FusedEmbedding(4, 2)
    layer.build((None, 3))
    layer.table.assign([[0, 1], [10, 11], [20, 21], [30, 31]])
    return layer


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_rows_are_looked_up_and_flattened_in_the_order_of_fields(dtype):
    output = numbered_embedding()(tf.constant(IDS, dtype))
    assert output.dtype == tf.float32
    assert output.numpy().tolist() == [[0, 1, 30, 31, 10, 11], [20, 21, 20, 21, 0, 1]]


def test_gradient_is_the_batch_rows_only():
    layer = numbered_embedding()
    weighting = tf.constant([[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]], tf.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(weighting * layer(tf.constant(IDS)))
    gradient = tape.gradient(loss, layer.table.value)
    assert isinstance(gradient, tf.IndexedSlices)
    assert gradient.indices.numpy().tolist() == [0, 3, 1, 2, 2, 0]
    assert gradient.values.numpy().tolist() == [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10], [11, 12]]
    # Row 0 came up for the first field of row 0 and the last of row 1, row 2 twice in row 1.
    dense = tf.convert_to_tensor(gradient).numpy()
    assert dense.tolist() == [[1 + 11, 2 + 12], [5, 6], [7 + 9, 8 + 10], [3, 4]]


def test_initial_values_have_the_asked_for_scale():
    keras.utils.set_random_seed(0)
    layer = FusedEmbedding(500, 16, initial_scale=0.3)
    layer.build((None, 2))
    table = layer.table.numpy()
    # 8,000 values: the standard error of the deviation is 0.8 %, of the mean 0.0034.
    assert table.std() == pytest.approx(0.3, rel=0.03)
    assert table.mean() == pytest.approx(0.0, abs=0.012)


def test_no_rows():
    check_zero_rows(numbered_embedding(), IDS)


def test_saved_and_loaded():
    before, after = round_trip(FusedEmbedding(4, 3, name="embedding"), IDS)
    assert before.shape == (2, 9)
    np.testing.assert_array_equal(before, after)


def test_config_round_trip():
    loaded = config_round_trip(FusedEmbedding(7, 3, initial_scale=0.5))
    assert (loaded.num_rows, loaded.dimension, loaded.initial_scale) == (7, 3, 0.5)


@pytest.mark.parametrize("ids", [np.zeros((2, 3), np.float32), np.zeros((4,), np.int32)])
def test_ids_that_are_no_matrix_of_integers_are_refused(ids):
    with pytest.raises(ValueError, match=r"ids must be a \[B, F\] matrix of integers"):
        FusedEmbedding(4, 2)(tf.constant(ids))


@pytest.mark.parametrize("sizes", [(0, 2), (4, 0), (-1, 2)])
def test_sizes_below_one_are_refused(sizes):
    with pytest.raises(ValueError, match="num_rows and dimension must be positive"):
        FusedEmbedding(*sizes)
