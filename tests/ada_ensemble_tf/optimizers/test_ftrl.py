import keras
import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.configs.defaults import config_for
from ada_ensemble_tf.optimizers import Ftrl, GroupFtrl

ROWS, WIDTH = 10, 3
SETTINGS = {"learning_rate": 0.1, "beta": 0.5, "l1": 0.4, "l2": 0.05}


class Reference:
    """Algorithm 1 of McMahan et al., KDD 2013, in float64 NumPy; the weight follows the update of its z."""

    def __init__(self, w: np.ndarray):
        self.w, self.z, self.n = np.array(w, np.float64), np.zeros(w.shape), np.zeros(w.shape)

    def update(self, rows, g: np.ndarray) -> None:
        alpha, beta, l1, l2 = SETTINGS.values()
        w, z, n = self.w[rows], self.z[rows], self.n[rows]
        sigma = (np.sqrt(n + g * g) - np.sqrt(n)) / alpha
        z = z + g - sigma * w
        n = n + g * g
        w = np.where(np.abs(z) <= l1, 0.0, -(z - np.sign(z) * l1) / ((beta + np.sqrt(n)) / alpha + l2))
        self.w[rows], self.z[rows], self.n[rows] = w, z, n


def table(shape=(ROWS, WIDTH)) -> keras.Variable:
    return keras.Variable(np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32), name="table")


@pytest.mark.parametrize("shape", [(ROWS, WIDTH), (7,), (), (2, 3, 2)])
def test_dense_gradients_of_any_shape_follow_algorithm_1(shape):
    variable, optimizer = table(shape), Ftrl(**SETTINGS)
    reference, rng = Reference(variable.numpy()), np.random.default_rng(2)
    for _ in range(30):
        gradient = rng.normal(0.1, 0.3, shape).astype(np.float32)
        optimizer.apply([tf.constant(gradient)], [variable])
        reference.update(..., gradient)
        np.testing.assert_allclose(variable, reference.w, rtol=1e-4, atol=1e-5)


def test_sparse_gradients_follow_algorithm_1_on_their_rows_alone():
    variable, optimizer = table(), Ftrl(**SETTINGS)
    initial, reference, rng = variable.numpy(), Reference(variable.numpy()), np.random.default_rng(3)
    for _ in range(30):
        ids = rng.integers(1, ROWS, 6).astype(np.int32)
        values = rng.normal(0.1, 0.3, (6, WIDTH)).astype(np.float32)
        optimizer.apply([tf.IndexedSlices(tf.constant(values), tf.constant(ids))], [variable])
        rows = np.unique(ids)
        reference.update(rows, np.stack([values[ids == row].sum(axis=0, dtype=np.float64) for row in rows]))
    np.testing.assert_allclose(variable, reference.w, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(variable.numpy()[0], initial[0])


def test_l1_acts_on_coordinates_and_not_on_rows():
    variable = keras.Variable(np.zeros((1, 2), np.float32), name="table")
    Ftrl(learning_rate=0.5, beta=1.0, l1=1.0, l2=0.5).apply([tf.constant([[5.0, 0.5]])], [variable])
    np.testing.assert_allclose(variable, [[-4.0 / ((1 + 5) / 0.5 + 0.5), 0.0]], rtol=1e-6)


@pytest.mark.parametrize("keep_initial", [False, True])
def test_without_l1_it_is_group_ftrl(keep_initial):
    settings = SETTINGS | {"l1": 0.0, "keep_initial": keep_initial}
    ours, group = table(), table()
    one, other = Ftrl(**settings), GroupFtrl(**settings)
    for seed in range(5):
        gradient = tf.random.stateless_normal([ROWS, WIDTH], [seed, 1])
        one.apply([gradient], [ours])
        other.apply([gradient], [group])
    np.testing.assert_array_equal(ours, group)


@pytest.mark.parametrize("l1", [0.0, 0.4])
def test_keep_initial_keeps_the_initial_values(l1):
    variable, initial = table(), table().numpy()
    Ftrl(learning_rate=0.02, beta=0.5, l1=l1, keep_initial=True).apply([tf.zeros((ROWS, WIDTH))], [variable])
    np.testing.assert_allclose(variable, initial, rtol=1e-5, atol=1e-7)


def test_a_rescaled_state_gives_the_present_weights_under_the_new_rate():
    variable, optimizer = table(), Ftrl(**SETTINGS)
    for seed in range(5):
        optimizer.apply([tf.random.stateless_normal([ROWS, WIDTH], [seed, 1])], [variable])
    before = variable.numpy()
    assert (before == 0).any() and (before != 0).any()
    optimizer.rescale_state(0.01)
    optimizer.learning_rate = 0.01
    optimizer.apply([tf.zeros([ROWS, WIDTH])], [variable])
    np.testing.assert_allclose(variable, before, rtol=1e-4, atol=1e-6)


def test_config_round_trip_and_errors():
    optimizer = Ftrl(0.3, beta=0.4, l1=0.5, l2=0.6, keep_initial=True, name="weights")
    loaded = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(loaded) is Ftrl and loaded.get_config() == optimizer.get_config()
    with pytest.raises(ValueError, match="beta, l1 and l2 must not be negative"):
        Ftrl(l1=-1.0)


@pytest.mark.parametrize(("model", "rate"), [("logistic_regression", 0.02), ("factorization_machine", 0.05)])
def test_linear_models_train_with_it_by_default(model, rate):
    optimizer = config_for(model).embedding_optimizer
    assert (optimizer.name, optimizer.learning_rate) == ("ftrl", rate)
