"""The starting point of group FTRL, and the effect of a new learning rate."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from ftrl_tables import ROWS, SETTINGS, WIDTH, batches, state, table

from ada_ensemble_tf.optimizers import GroupFtrl
from ada_ensemble_tf.updates.stages import set_learning_rate


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("l1", [0.0, 1e-3, 0.4])
@pytest.mark.parametrize("size", [0.0, 1e-9])
def test_keep_initial_keeps_the_initial_values(sparse, l1, size):
    variable = table()
    initial = variable.numpy()
    optimizer = GroupFtrl(learning_rate=0.02, beta=0.5, l1=l1, l2=1e-3, keep_initial=True)
    gradient = tf.fill((ROWS, WIDTH), size)
    optimizer.apply([tf.IndexedSlices(gradient, tf.range(ROWS)) if sparse else gradient], [variable])
    np.testing.assert_allclose(variable.numpy(), initial, rtol=1e-5, atol=1e-7)


def test_keep_initial_updates_start_from_the_initial_values():
    variable, initial = table(), table().numpy()
    settings = {"learning_rate": 0.02, "beta": 0.5, "l2": 1e-3}
    optimizer = GroupFtrl(**settings, l1=0.0, keep_initial=True)
    gradient = np.random.default_rng(5).normal(0, 0.1, (ROWS, WIDTH)).astype(np.float32)
    optimizer.apply([tf.constant(gradient)], [variable])
    # The minimum of g w + ((beta + |g|) / alpha + l2) (w - w0)^2 / 2.
    expected = initial - gradient / ((0.5 + np.abs(gradient)) / 0.02 + 1e-3)
    np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-4, atol=1e-6)


def test_keep_initial_leaves_zero_rows_zero():
    variable = keras.Variable(np.zeros((2, 2), np.float32), name="table")
    optimizer = GroupFtrl(keep_initial=True)
    optimizer.apply([tf.zeros((2, 2))], [variable])
    assert all((array == 0).all() for array in state(optimizer, variable))


def test_without_keep_initial_the_first_update_throws_the_initial_values_away():
    variable = table()
    GroupFtrl(**SETTINGS).apply([tf.zeros((ROWS, WIDTH))], [variable])
    assert (variable.numpy() == 0).all()


def test_built_in_a_graph_it_keeps_the_initial_values():
    variable, optimizer = table(), GroupFtrl(**SETTINGS, keep_initial=True)
    initial = variable.numpy()

    @tf.function(autograph=False)
    def apply(gradient):
        optimizer.apply([gradient], [variable])

    apply(tf.zeros((ROWS, WIDTH)))
    np.testing.assert_allclose(variable.numpy(), initial, rtol=1e-5, atol=1e-7)
    apply(tf.ones((ROWS, WIDTH)))
    assert (variable.numpy() < initial).all()


@pytest.mark.parametrize("keep_initial", [True, False])
def test_a_new_learning_rate_leaves_the_rows_where_they_are(keep_initial):
    variable, optimizer = table(), GroupFtrl(**SETTINGS, keep_initial=keep_initial)
    optimizer.build([variable])
    for ids, gradient in batches(20, 8):
        optimizer.apply([tf.IndexedSlices(gradient, ids, (ROWS, WIDTH))], [variable])
    before, n = variable.numpy(), optimizer.slots(variable)[1].numpy()
    zero_rows = ~before.any(axis=1)
    # Rows 2 to 4, where nothing keeps them from it.
    assert zero_rows.sum() == (0 if keep_initial else 3)
    set_learning_rate(optimizer, 0.01)
    assert float(optimizer.learning_rate) == np.float32(0.01)
    np.testing.assert_array_equal(variable, before)
    # An update with a zero gradient computes w from z; rows that were updated before keep their w.
    rows = tf.range(2, ROWS)
    optimizer.apply([tf.IndexedSlices(tf.zeros([ROWS - 2, WIDTH]), rows, (ROWS, WIDTH))], [variable])
    np.testing.assert_allclose(variable, before, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(optimizer.slots(variable)[1], n)
    # Rows 0 and 1 had no update: their z is that of the initial value, or still 0.
    assert optimizer.slots(variable)[0].numpy()[:2].any() == keep_initial
    # Steps are a tenth.
    ones = tf.IndexedSlices(tf.fill([ROWS - 2, WIDTH], 0.5), rows, (ROWS, WIDTH))
    optimizer.apply([ones], [variable])
    change = np.abs(variable.numpy() - before)[2:][~zero_rows[2:]]
    assert 0.0 < change.max() < 0.01 * 1.1
