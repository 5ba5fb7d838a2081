import keras
import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.optimizers import RowSparseAdagrad

ROWS, WIDTH = 7, 3


def table(seed: int = 0) -> keras.Variable:
    return keras.Variable(np.random.default_rng(seed).normal(0, 0.1, (ROWS, WIDTH)).astype(np.float32), name="table")


def test_first_step_by_hand():
    variable = keras.Variable(np.array([[1.0, 1.0]], np.float32))
    RowSparseAdagrad(0.5, initial_accumulator=7.0, epsilon=1e-12).apply([tf.constant([[3.0, 0.0]])], [variable])
    # n = 7 + 9.
    np.testing.assert_allclose(variable, [[1.0 - 0.5 * 3.0 / 4.0, 1.0]], rtol=1e-6)


@pytest.mark.parametrize("sparse", [False, True])
def test_it_is_dense_adagrad_also_for_rows_that_do_not_come(sparse):
    ours, theirs = table(), table()
    one = RowSparseAdagrad(0.1, initial_accumulator=0.2)
    other = keras.optimizers.Adagrad(0.1, initial_accumulator_value=0.2)
    rng = np.random.default_rng(1)
    for _ in range(30):
        rows = rng.choice(ROWS, 3, replace=False)
        gradient = np.zeros((ROWS, WIDTH), np.float32)
        gradient[rows] = rng.normal(size=(3, WIDTH))
        slices = tf.IndexedSlices(tf.constant(gradient[rows]), tf.constant(rows), (ROWS, WIDTH))
        one.apply([slices if sparse else tf.constant(gradient)], [ours])
        other.apply([tf.constant(gradient)], [theirs])
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_parts_of_a_row_are_summed_before_they_are_squared():
    parts = tf.IndexedSlices(tf.constant([[3.0], [-1.0], [5.0]]), tf.constant([1, 1, 0]), (2, 1))
    ours, theirs = (keras.Variable(np.zeros((2, 1), np.float32)) for _ in range(2))
    RowSparseAdagrad(1.0, initial_accumulator=0.0, epsilon=1e-12).apply([parts], [ours])
    keras.optimizers.Adagrad(1.0, initial_accumulator_value=0.0, epsilon=1e-12).apply([parts], [theirs])
    # A step of g / |g|; with 3^2 + 1^2 under the root it is 2 / sqrt(10).
    np.testing.assert_allclose(ours, [[-1.0], [-1.0]], rtol=1e-6)
    np.testing.assert_allclose(theirs, [[-1.0], [-2.0 / np.sqrt(10.0)]], rtol=1e-6)


def test_rows_that_do_not_come_stay_bit_for_bit():
    variable, optimizer = table(), RowSparseAdagrad(0.1)
    optimizer.apply([tf.ones((ROWS, WIDTH))], [variable])
    before = [v.numpy() for v in (variable, *optimizer.slots(variable))]
    optimizer.apply([tf.IndexedSlices(tf.ones((3, WIDTH)), tf.constant([2, 5, 2]))], [variable])
    for old, new in zip(before, (variable, *optimizer.slots(variable)), strict=True):
        assert (old != new.numpy()).any(axis=1).nonzero()[0].tolist() == [2, 5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"initial_accumulator": -0.1}, "initial_accumulator must not be negative; received -0.1"),
        ({"epsilon": 0.0}, "epsilon must be positive; received 0.0"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        RowSparseAdagrad(**arguments)
