import keras
import numpy as np
import pytest
import tensorflow as tf
from adam_tables import ROWS, WIDTH, DenseAdam, gradient_of, state, table

from ada_ensemble_tf.layers.embedding import FusedEmbedding
from ada_ensemble_tf.optimizers import RowSparseAdam
from ada_ensemble_tf.optimizers.adam_catch_up import most_skipped

SETTINGS = [
    {"learning_rate": 0.1},
    {"learning_rate": 0.1, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3},
    {"learning_rate": 0.1, "beta_1": 0.0, "beta_2": 0.9},
]


def run(settings, plan, scale=1.0):
    """(variable, optimiser, dense Adam) after a gradient of these rows at each step."""
    variable, optimizer = table(), RowSparseAdam(**settings, catch_up=True)
    dense = DenseAdam(variable.numpy(), **settings)
    for step, rows in enumerate(plan):
        slices, whole = gradient_of(rows, step, scale)
        optimizer.apply([slices], [variable])
        dense.update(whole)
    return variable, optimizer, dense


# 1e-7 is as small as epsilon.
@pytest.mark.parametrize("scale", [1.0, 1e-7])
@pytest.mark.parametrize("settings", SETTINGS)
def test_rows_that_come_again_are_dense_adams(settings, scale):
    plan = [[0, 1, 2], [0], [0, 3], [0, 0, 1], [0], [0, 4], *[[0]] * 20, [0, 1, 2, 3, 4]]
    variable, optimizer, dense = run(settings, plan, scale)
    w, m, v, last = state(optimizer, variable)
    np.testing.assert_allclose(w, dense.w, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(m, dense.m, rtol=1e-4, atol=1e-6 * scale)
    np.testing.assert_allclose(v, dense.v, rtol=1e-4, atol=1e-6 * scale**2)
    assert last.tolist() == [len(plan)] * 5 + [0]


def test_rows_that_were_away_for_longer_than_their_moments_last():
    settings = {"learning_rate": 0.1, "beta_1": 0.5, "beta_2": 0.9}
    plan = [[0, 1], *[[0]] * (most_skipped(0.5, 0.9) + 20), [0, 1]]
    variable, _, dense = run(settings, plan)
    np.testing.assert_allclose(variable, dense.w, rtol=1e-4, atol=1e-4)


def test_moments_that_last_are_bounded():
    # (0.9 / sqrt(0.999))^154 is just below 1e-7.
    assert most_skipped(0.9, 0.999) == 154
    assert most_skipped(0.0, 0.999) == 1
    with pytest.raises(ValueError, match="received beta_1 0.9 and beta_2 0.81"):
        most_skipped(0.9, 0.81)


def test_rows_wait_until_they_are_brought_up_to_date():
    variable, optimizer, dense = run({"learning_rate": 0.1}, [[0, 1, 2], [0], [0], [0]])
    behind = variable.numpy()
    assert np.abs(behind[1:3] - dense.w[1:3]).min() > 0.05
    optimizer.bring_up_to_date(variable, tf.constant([[1, 5], [1, 1]]))
    assert (variable.numpy() != behind).any(axis=1).tolist() == [False, True, False, False, False, False]
    np.testing.assert_allclose(variable.numpy()[1], dense.w[1], rtol=1e-4, atol=1e-5)
    optimizer.bring_up_to_date(variable)
    for ours, expected in zip(state(optimizer, variable), (dense.w, dense.m, dense.v), strict=False):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)
    # A second call has nothing left to do, and the next step repeats nothing.
    done = state(optimizer, variable)
    optimizer.bring_up_to_date(variable)
    for old, new in zip(done, state(optimizer, variable), strict=True):
        np.testing.assert_array_equal(old, new)
    slices, whole = gradient_of([1, 2], 9)
    optimizer.apply([slices], [variable])
    dense.update(whole)
    np.testing.assert_allclose(variable.numpy()[1:3], dense.w[1:3], rtol=1e-4, atol=1e-5)


def test_the_whole_table_is_brought_up_to_date_a_part_at_a_time(monkeypatch):
    monkeypatch.setattr("ada_ensemble_tf.optimizers.sparse_adam.CHUNK_ROWS", 4)
    variable, optimizer, dense = run({"learning_rate": 0.1}, [[0, 1, 4, 5], [0], [0]])
    optimizer.bring_up_to_date(variable)
    np.testing.assert_allclose(variable, dense.w, rtol=1e-4, atol=1e-5)
    assert state(optimizer, variable)[3].tolist() == [3] * ROWS


def test_brought_up_to_date_before_each_forward_pass_a_table_trains_as_under_dense_adam():
    ours, theirs, targets = table(), table(), tf.random.stateless_normal([ROWS, WIDTH], [1, 2])
    one, other = RowSparseAdam(0.05, catch_up=True), keras.optimizers.Adam(0.05)
    one.build([ours])
    rng = np.random.default_rng(0)
    for _ in range(60):
        ids = tf.constant(rng.integers(0, ROWS, 2), tf.int32)
        one.bring_up_to_date(ours, ids)
        for variable, optimizer in ((ours, one), (theirs, other)):
            with tf.GradientTape() as tape:
                error = tf.gather(variable.value, ids) - tf.gather(targets, ids)
                loss = tf.reduce_sum(tf.abs(error) ** 1.5)
            gradient = tape.gradient(loss, variable.value)
            dense = tf.math.unsorted_segment_sum(gradient.values, gradient.indices, ROWS)
            optimizer.apply([gradient if optimizer is one else dense], [variable])
    one.bring_up_to_date(ours)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


def test_keras_fit_brings_the_table_up_to_date_at_its_end():
    model = keras.Sequential([keras.Input((1,), dtype="int32"), FusedEmbedding(ROWS, WIDTH)])
    model.compile(RowSparseAdam(0.1, catch_up=True), loss="mse")
    ids = np.array([[0], [1], [2], [3]], np.int32)
    model.fit(ids, np.ones((4, WIDTH), np.float32), batch_size=1, shuffle=False, verbose=0)
    assert model.optimizer.slots(model.layers[0].table)[2].numpy().tolist() == [4] * ROWS


def test_a_step_count_that_is_set_back_skips_nothing():
    variable, optimizer, _ = run({"learning_rate": 0.1}, [[0, 1], [0], [0]])
    optimizer.iterations.assign(0)
    before = state(optimizer, variable)
    optimizer.bring_up_to_date(variable)
    for old, new in zip(before, state(optimizer, variable), strict=True):
        np.testing.assert_array_equal(old, new)
    optimizer.apply([gradient_of([1], 7)[0]], [variable])
    assert np.isfinite(variable.numpy()).all() and state(optimizer, variable)[3].tolist() == [3, 1, 0, 0, 0, 0]


def test_without_catch_up_there_is_nothing_to_bring():
    variable, optimizer = table(), RowSparseAdam(0.1)
    optimizer.apply([gradient_of([0, 1], 1)[0]], [variable])
    optimizer.apply([gradient_of([0], 1)[0]], [variable])
    before = variable.numpy()
    optimizer.bring_up_to_date(variable)
    np.testing.assert_array_equal(variable, before)
