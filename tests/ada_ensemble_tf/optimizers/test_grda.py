import keras
import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.optimizers import GRDA

ROWS, WIDTH = 8, 3
SETTINGS = {"learning_rate": 0.1, "c": 0.3, "mu": 0.6}


class Reference:
    """The docstring's formulas in float64 NumPy."""

    def __init__(self, w: np.ndarray):
        self.w, self.v, self.step = w.astype(np.float64), w.astype(np.float64), 0

    def update(self, rows, g: np.ndarray) -> None:
        """One step in which only `rows` have a gradient."""
        self.step += 1
        gamma, c, mu = SETTINGS.values()
        tau = c * gamma ** (0.5 + mu) * self.step**mu
        self.v[rows] -= gamma * g
        self.w[rows] = np.sign(self.v[rows]) * np.maximum(np.abs(self.v[rows]) - tau, 0.0)


def table(seed: int = 0) -> keras.Variable:
    values = np.random.default_rng(seed).normal(0, 0.3, (ROWS, WIDTH))
    return keras.Variable(values.astype(np.float32), name="table")


def test_first_step_by_hand():
    variable = keras.Variable(np.array([0.5, -0.5, 0.05], np.float32), name="w")
    GRDA(learning_rate=0.25, c=0.4, mu=0.5).apply([tf.constant([1.0, 0.0, 0.0])], [variable])
    # v = (0.25, -0.5, 0.05), tau = 0.4 * 0.25 * 1.
    np.testing.assert_allclose(variable, [0.15, -0.4, 0.0], rtol=1e-6)


def test_the_threshold_grows_with_the_power_of_the_step():
    variable = keras.Variable(np.array([2.0], np.float32), name="w")
    optimizer = GRDA(learning_rate=0.25, c=0.4, mu=0.5)
    for step in range(1, 10):
        optimizer.apply([tf.zeros([1])], [variable])
        np.testing.assert_allclose(variable, [2.0 - 0.1 * step**0.5], rtol=1e-5)


def test_dense_gradients_follow_the_formulas():
    variable, optimizer = table(), GRDA(**SETTINGS)
    reference, rng = Reference(variable.numpy()), np.random.default_rng(2)
    for _ in range(40):
        gradient = rng.normal(0.0, 0.3, (ROWS, WIDTH)).astype(np.float32)
        optimizer.apply([tf.constant(gradient)], [variable])
        reference.update(slice(None), gradient)
        np.testing.assert_allclose(variable, reference.w, rtol=1e-4, atol=1e-5)
    assert 0 < (variable.numpy() == 0).sum() < variable.numpy().size


@pytest.mark.parametrize("graph", [False, True])
def test_sparse_gradients_touch_their_rows_alone_with_the_threshold_of_the_step(graph):
    variable, optimizer = table(), GRDA(**SETTINGS)
    reference = Reference(variable.numpy())

    def apply(values, ids):
        optimizer.apply([tf.IndexedSlices(values, ids, tf.constant([ROWS, WIDTH]))], [variable])

    if graph:
        apply = tf.function(
            apply, input_signature=[tf.TensorSpec([None, WIDTH]), tf.TensorSpec([None], tf.int32)], autograph=False
        )
    initial, rng = variable.numpy(), np.random.default_rng(3)
    for _ in range(30):
        ids = rng.integers(1, ROWS, 5).astype(np.int32)
        values = rng.normal(0.0, 0.4, (5, WIDTH)).astype(np.float32)
        apply(tf.constant(values), tf.constant(ids))
        rows = np.unique(ids)
        reference.update(rows, np.stack([values[ids == row].sum(axis=0) for row in rows]))
    np.testing.assert_allclose(variable, reference.w, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(optimizer.slots(variable)[0], reference.v, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(variable.numpy()[0], initial[0])


def test_the_step_counts_once_for_all_variables():
    both, alone = GRDA(**SETTINGS), GRDA(**SETTINGS)
    variables, twin = [table(1), table(2)], table(2)
    for _ in range(5):
        gradient = tf.fill([ROWS, WIDTH], 0.1)
        both.apply([gradient, gradient], variables)
        alone.apply([gradient], [twin])
    np.testing.assert_array_equal(variables[1], twin)


def test_without_c_it_is_sgd():
    variable, twin = table(), table()
    optimizer, sgd = GRDA(0.1, c=0.0), keras.optimizers.SGD(0.1)
    for seed in range(4):
        gradient = tf.random.stateless_normal([ROWS, WIDTH], [seed, 1])
        optimizer.apply([gradient], [variable])
        sgd.apply([gradient], [twin])
    np.testing.assert_allclose(variable, twin, rtol=1e-5, atol=1e-6)


def test_built_in_a_graph_it_starts_at_the_initial_values():
    variable, optimizer = table(), GRDA(0.1, c=0.0)
    tf.function(lambda gradient: optimizer.apply([gradient], [variable]), autograph=False)(tf.zeros([ROWS, WIDTH]))
    np.testing.assert_array_equal(variable, table())


def test_config_round_trip():
    optimizer = GRDA(0.3, c=0.4, mu=0.5, name="pruning")
    loaded = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(loaded) is GRDA and loaded.get_config() == optimizer.get_config()
    assert (loaded.c, loaded.mu, loaded.name) == (0.4, 0.5, "pruning")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"c": -1e-3}, "c must not be negative; received -0.001"),
        ({"mu": 1.5}, r"mu must lie in \[0, 1\]; received 1.5"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        GRDA(**arguments)
