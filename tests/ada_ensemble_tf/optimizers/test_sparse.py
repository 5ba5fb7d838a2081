import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.optimizers.sparse import sum_duplicates


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_parts_of_a_row_are_summed(dtype):
    values = tf.constant([[1, 2], [10, 20], [100, 200], [1000, 2000]], tf.float32)
    gradient = tf.IndexedSlices(values, tf.constant([5, 0, 5, 5], dtype), tf.constant([7, 2], dtype))
    summed = sum_duplicates(gradient)
    assert summed.indices.numpy().tolist() == [5, 0]
    assert summed.values.numpy().tolist() == [[1101, 2202], [10, 20]]
    assert summed.dense_shape.numpy().tolist() == [7, 2]


def test_rows_that_come_once_stay():
    values = tf.constant([[1.0], [2.0], [3.0]])
    summed = sum_duplicates(tf.IndexedSlices(values, tf.constant([2, 0, 1])))
    assert summed.indices.numpy().tolist() == [2, 0, 1]
    assert summed.values.numpy().tolist() == [[1], [2], [3]]


def test_dense_gradient_is_the_same_in_a_graph_of_unknown_rows():
    signature = [tf.TensorSpec([None, 3]), tf.TensorSpec([None], tf.int32)]

    @tf.function(input_signature=signature, autograph=False)
    def densified(values, rows):
        summed = sum_duplicates(tf.IndexedSlices(values, rows))
        return summed.indices, tf.math.unsorted_segment_sum(summed.values, summed.indices, 10)

    rng = np.random.default_rng(0)
    for count in (40, 1, 0):
        values, rows = rng.normal(size=(count, 3)).astype(np.float32), rng.integers(0, 10, count)
        expected = np.zeros((10, 3))
        np.add.at(expected, rows, values)
        indices, dense = densified(values, rows.astype(np.int32))
        assert sorted(indices.numpy().tolist()) == sorted(set(rows.tolist()))
        np.testing.assert_allclose(dense, expected, rtol=1e-5, atol=1e-6)
