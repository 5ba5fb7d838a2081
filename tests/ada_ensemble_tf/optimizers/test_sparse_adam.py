import keras
import numpy as np
import pytest
import tensorflow as tf
from adam_tables import ROWS, WIDTH, DenseAdam, gradient_of, state, table

from ada_ensemble_tf.optimizers import RowSparseAdam
from ada_ensemble_tf.trained.checkpoint import Checkpoint

ALL = list(range(ROWS))


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("catch_up", [False, True])
def test_with_all_rows_at_each_step_it_is_dense_adam(graph, catch_up):
    ours, theirs = table(), table()
    reference = DenseAdam(ours.numpy(), 0.01)
    one, other = RowSparseAdam(0.01, catch_up=catch_up), keras.optimizers.Adam(0.01)

    def step(values, ids):
        one.apply([tf.IndexedSlices(values, ids, tf.constant([ROWS, WIDTH]))], [ours])

    if graph:
        step = tf.function(
            step, input_signature=[tf.TensorSpec([None, WIDTH]), tf.TensorSpec([None], tf.int32)], autograph=False
        )
    for seed in range(40):
        # Each row, and some of them twice.
        slices, dense = gradient_of([*ALL, 3, 1], seed)
        step(slices.values, slices.indices)
        other.apply([tf.constant(dense, tf.float32)], [theirs])
        reference.update(dense)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours, reference.w, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 2)])
@pytest.mark.parametrize("catch_up", [False, True])
def test_dense_gradients_of_any_shape_are_dense_adams(shape, catch_up):
    ours, theirs = (keras.Variable(np.ones(shape, np.float32)) for _ in range(2))
    one, other = RowSparseAdam(0.05, 0.8, 0.99, 1e-5, catch_up), keras.optimizers.Adam(0.05, 0.8, 0.99, 1e-5)
    for seed in range(10):
        gradient = tf.random.stateless_normal(shape, [seed, 1])
        one.apply([gradient], [ours])
        other.apply([gradient], [theirs])
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_lazy_rows_wait_and_go_on_from_where_they_were():
    variable = keras.Variable(np.zeros((2, 1), np.float32))
    optimizer = RowSparseAdam(0.1, beta_1=0.5, beta_2=0.75, epsilon=1e-9)
    optimizer.apply([tf.constant([[2.0], [2.0]])], [variable])
    # m = 1, v = 1, both corrected to g and g^2: a step of the learning rate.
    np.testing.assert_allclose(variable, [[-0.1], [-0.1]], rtol=1e-6)
    optimizer.apply([tf.IndexedSlices(tf.constant([[4.0]]), tf.constant([0]))], [variable])
    # m = 0.5 + 2 and v = 0.75 + 4; the corrections are those of step 2. Row 1 waits.
    second = 0.1 * np.sqrt(1 - 0.75**2) / (1 - 0.5**2) * 2.5 / np.sqrt(4.75)
    np.testing.assert_allclose(variable, [[-0.1 - second], [-0.1]], rtol=1e-6)
    np.testing.assert_allclose([v.numpy()[1, 0] for v in optimizer.slots(variable)], [1.0, 1.0], rtol=1e-6)
    optimizer.apply([tf.IndexedSlices(tf.constant([[4.0]]), tf.constant([1]))], [variable])
    # The same averages a step later, so that only the corrections differ.
    third = 0.1 * np.sqrt(1 - 0.75**3) / (1 - 0.5**3) * 2.5 / np.sqrt(4.75)
    np.testing.assert_allclose(variable, [[-0.1 - second], [-0.1 - third]], rtol=1e-6)


def test_dense_adam_would_have_moved_the_row_that_waits():
    lazy, dense = table(), DenseAdam(table().numpy(), 0.1)
    optimizer = RowSparseAdam(0.1)
    for step, rows in enumerate([ALL, [0], [0]]):
        slices, whole = gradient_of(rows, step)
        optimizer.apply([slices], [lazy])
        dense.update(whole)
    np.testing.assert_allclose(lazy.numpy()[0], dense.w[0], rtol=1e-4, atol=1e-5)
    assert np.abs(lazy.numpy()[1:] - dense.w[1:]).min() > 0.05


def test_parts_of_a_row_are_summed_before_they_are_squared():
    parts = tf.IndexedSlices(tf.constant([[3.0], [-1.0]]), tf.constant([0, 0]), (1, 1))
    ours, summed = (keras.Variable(np.zeros((1, 1), np.float32)) for _ in range(2))
    optimizer = RowSparseAdam(1.0, beta_2=0.0)
    optimizer.apply([parts], [ours])
    keras.optimizers.Adam(1.0, beta_2=0.0).apply([tf.constant([[2.0]])], [summed])
    np.testing.assert_allclose(ours, summed, rtol=1e-6)
    # 2^2, where adding up the squares of the parts would give 10.
    np.testing.assert_allclose(optimizer.slots(ours)[1], [[4.0]], rtol=1e-6)


@pytest.mark.parametrize("catch_up", [False, True])
def test_rows_that_do_not_come_stay_bit_for_bit(catch_up):
    variable, optimizer = table(), RowSparseAdam(0.1, catch_up=catch_up)
    optimizer.apply([tf.ones((ROWS, WIDTH))], [variable])
    before = state(optimizer, variable)
    optimizer.apply([gradient_of([2, 4, 2], 1)[0]], [variable])
    for old, new in zip(before, state(optimizer, variable), strict=True):
        assert (old != new).reshape(ROWS, -1).any(axis=1).nonzero()[0].tolist() == [2, 4]


def test_a_batch_without_rows_counts_as_a_step_and_changes_nothing():
    variable = table()
    optimizer = RowSparseAdam(0.1, catch_up=True)
    optimizer.apply([tf.ones((ROWS, WIDTH))], [variable])
    before = state(optimizer, variable)
    optimizer.apply([gradient_of([], 1)[0]], [variable])
    for old, new in zip(before, state(optimizer, variable), strict=True):
        np.testing.assert_array_equal(old, new)
    assert int(optimizer.iterations) == 2


@pytest.mark.parametrize("catch_up", [False, True])
def test_a_resumed_run_goes_on_as_if_never_interrupted(catch_up, tmp_path):
    def start():
        variable, optimizer = table(), RowSparseAdam(0.1, catch_up=catch_up)
        optimizer.build([variable])
        return variable, optimizer, Checkpoint(tmp_path, [variable, *optimizer.variables])

    batches = [gradient_of(rows, seed)[0] for seed, rows in enumerate([[0, 1], [2, 2], [1], [0, 3], [2, 1]])]
    variable, optimizer, checkpoint = start()
    for step, slices in enumerate(batches):
        optimizer.apply([slices], [variable])
        if step == 2:
            checkpoint.save(step)
    resumed, resumed_optimizer, saved = start()
    saved.restore()
    for slices in batches[3:]:
        resumed_optimizer.apply([slices], [resumed])
    for one, other in zip(state(optimizer, variable), state(resumed_optimizer, resumed), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beta_1": 1.0}, r"beta_1 and beta_2 must lie in \[0, 1\); received 1.0 and 0.999"),
        ({"beta_2": -0.1}, r"beta_1 and beta_2 must lie in \[0, 1\); received 0.9 and -0.1"),
        ({"epsilon": 0.0}, "epsilon must be positive; received 0.0"),
        ({"beta_1": 0.9, "beta_2": 0.8, "catch_up": True}, "catch_up needs beta_1 below"),
        ({"amsgrad": True}, "amsgrad"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        RowSparseAdam(**arguments)
