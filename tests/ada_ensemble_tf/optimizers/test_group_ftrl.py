import keras
import numpy as np
import pytest
import tensorflow as tf
from ftrl_tables import ROWS, SETTINGS, WIDTH, batches, state, table

from ada_ensemble_tf.layers.embedding import FusedEmbedding
from ada_ensemble_tf.optimizers import GroupFtrl


class Reference:
    """The docstring's formulas in float64 NumPy."""

    def __init__(self, w: np.ndarray, learning_rate: float, beta: float, l1: float, l2: float):
        self.w = w.astype(np.float64)
        self.z, self.n = np.zeros_like(self.w), np.zeros_like(self.w)
        self.learning_rate, self.beta, self.l1, self.l2 = learning_rate, beta, l1, l2

    def update(self, row: int, g: np.ndarray) -> None:
        w, z, n = self.w[row], self.z[row], self.n[row]
        sigma = (np.sqrt(n + g**2) - np.sqrt(n)) / self.learning_rate
        z = z + g - sigma * w
        n = n + g**2
        norm, threshold = np.linalg.norm(z), self.l1 * np.sqrt(len(z))
        if norm <= threshold:
            w = np.zeros_like(z)
        else:
            w = -z * (1 - threshold / norm) / ((self.beta + np.sqrt(n)) / self.learning_rate + self.l2)
        self.w[row], self.z[row], self.n[row] = w, z, n


def test_dense_gradients_follow_the_formulas():
    variable, optimizer = table(), GroupFtrl(**SETTINGS)
    reference = Reference(variable.numpy(), **SETTINGS)
    rng = np.random.default_rng(2)
    for _ in range(60):
        gradient = rng.normal(0.1, 0.3, (ROWS, WIDTH)).astype(np.float32)
        optimizer.apply([tf.constant(gradient)], [variable])
        for row in range(ROWS):
            reference.update(row, gradient[row])
        w, z, n = state(optimizer, variable)
        np.testing.assert_allclose(w, reference.w, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(z, reference.z, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(n, reference.n, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("graph", [False, True])
def test_sparse_gradients_follow_the_formulas_with_repeated_rows_summed(graph):
    variable, optimizer = table(), GroupFtrl(**SETTINGS)
    initial = variable.numpy()
    reference, unsummed = Reference(initial, **SETTINGS), Reference(initial, **SETTINGS)

    def apply(values, ids):
        optimizer.apply([tf.IndexedSlices(values, ids, tf.constant([ROWS, WIDTH]))], [variable])

    if graph:
        signature = [tf.TensorSpec([None, WIDTH]), tf.TensorSpec([None], tf.int32)]
        apply = tf.function(apply, input_signature=signature, autograph=False)
    for ids, values in batches(steps=40, rows=9):
        apply(tf.constant(values), tf.constant(ids))
        for row in np.unique(ids):
            reference.update(row, values[ids == row].sum(axis=0, dtype=np.float64))
        for row, value in zip(ids, values, strict=True):
            unsummed.update(row, value)
    w, z, n = state(optimizer, variable)
    np.testing.assert_allclose(w, reference.w, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(z, reference.z, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(n, reference.n, rtol=1e-4, atol=1e-4)
    assert np.abs(w - unsummed.w).max() > 1e-2, "the batches do not tell summing from not summing"

    # Rows 0 and 1 never occurred; the gradients of rows 2 to 4 were too small for l1.
    assert w[:2].tobytes() == initial[:2].tobytes()
    assert not z[:2].any() and not n[:2].any()
    assert (w[2:5] == 0).all() and n[2:5].all()
    assert (w[5:] != 0).all()


def test_an_update_of_some_rows_leaves_the_others_bit_for_bit():
    variable, optimizer = table(), GroupFtrl(**SETTINGS, keep_initial=True)
    optimizer.apply([tf.random.stateless_normal((ROWS, WIDTH), (1, 2))], [variable])
    before = state(optimizer, variable)
    optimizer.apply([tf.IndexedSlices(tf.ones((3, WIDTH)), tf.constant([7, 2, 7]))], [variable])
    others = [row for row in range(ROWS) if row not in (2, 7)]
    for old, new in zip(before, state(optimizer, variable), strict=True):
        assert old[others].tobytes() == new[others].tobytes()
        assert (old[[2, 7]] != new[[2, 7]]).any(axis=1).all()


def test_a_batch_without_rows_changes_nothing():
    variable, optimizer = table(), GroupFtrl(**SETTINGS)
    optimizer.apply([tf.ones((ROWS, WIDTH))], [variable])
    before = state(optimizer, variable)
    optimizer.apply([tf.IndexedSlices(tf.zeros((0, WIDTH)), tf.zeros((0,), tf.int32))], [variable])
    for old, new in zip(before, state(optimizer, variable), strict=True):
        np.testing.assert_array_equal(old, new)


def test_l1_acts_on_whole_rows():
    variable = keras.Variable(np.zeros((2, 2), np.float32), name="table")
    optimizer = GroupFtrl(learning_rate=0.5, beta=1.0, l1=1.0, l2=0.5)
    # From w = 0, z = g: |z| is 5 > sqrt(2) in row 0, one element small, and 1.4 < sqrt(2) in row 1.
    optimizer.apply([tf.constant([[5.0, 0.01], [0.99, 0.99]])], [variable])
    z = np.array([5.0, 0.01])
    expected = -z * (1 - np.sqrt(2) / np.hypot(*z)) / ((1 + z) / 0.5 + 0.5)
    np.testing.assert_allclose(variable.numpy()[0], expected, rtol=1e-5)
    assert variable.numpy()[1].tolist() == [0, 0]


def test_width_one_is_plain_ftrl_proximal():
    variable, optimizer = table(width=1), GroupFtrl(**SETTINGS)
    alpha, beta, l1, l2 = (SETTINGS[name] for name in ("learning_rate", "beta", "l1", "l2"))
    weights, z, n = variable.numpy()[:, 0].astype(float), np.zeros(ROWS), np.zeros(ROWS)
    rng = np.random.default_rng(3)
    for _ in range(40):
        gradient = rng.normal(0, 0.4, (ROWS, 1)).astype(np.float32)
        optimizer.apply([tf.constant(gradient)], [variable])
        # McMahan et al., KDD 2013, algorithm 1; their order is to compute w before the gradient.
        for i, g in enumerate(gradient[:, 0].astype(float)):
            sigma = (np.sqrt(n[i] + g * g) - np.sqrt(n[i])) / alpha
            z[i] += g - sigma * weights[i]
            n[i] += g * g
            if abs(z[i]) <= l1:
                weights[i] = 0.0
            else:
                weights[i] = -(z[i] - np.sign(z[i]) * l1) / ((beta + np.sqrt(n[i])) / alpha + l2)
        np.testing.assert_allclose(variable.numpy()[:, 0], weights, rtol=1e-4, atol=1e-6)
    assert 0 < (weights == 0).sum() < ROWS, "l1 should zero some of the weights"


def test_learning_rate_schedules_are_followed():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.5, 0.1])
    variable, optimizer = table(), GroupFtrl(schedule, beta=1.0, l1=0.0, l2=0.0)
    first, second = 0.5, 2.0
    optimizer.apply([tf.fill((ROWS, WIDTH), first)], [variable])
    # z = g - |g| / alpha w: with w0, then w1 = -z / ((beta + |g|) / alpha), the alphas 0.5 and 0.1.
    z = first - first / 0.5 * table().numpy()
    w = -z / ((1 + first) / 0.5)
    np.testing.assert_allclose(variable.numpy(), w, rtol=1e-4)
    optimizer.apply([tf.fill((ROWS, WIDTH), second)], [variable])
    root = np.hypot(first, second)
    # The new rate by itself leaves w where it is: z is first brought to the value that gives w under it.
    z = -w * (1 + first) / 0.1 + second - (root - first) / 0.1 * w
    np.testing.assert_allclose(variable.numpy(), -z / ((1 + root) / 0.1), rtol=1e-4)


def test_config_round_trip():
    optimizer = GroupFtrl(0.3, beta=0.4, l1=0.5, l2=0.6, keep_initial=True, name="tables")
    loaded = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(loaded, GroupFtrl)
    assert loaded.get_config() == optimizer.get_config()
    assert float(loaded.learning_rate) == pytest.approx(0.3)
    values = (loaded.beta, loaded.l1, loaded.l2, loaded.keep_initial, loaded.name)
    assert values == (0.4, 0.5, 0.6, True, "tables")


def test_saved_with_a_model_it_goes_on_as_if_never_saved(tmp_path):
    model = keras.Sequential([keras.Input((2,), dtype="int32"), FusedEmbedding(6, 3)])
    optimizer = GroupFtrl(0.1, beta=0.1, l1=1e-3, keep_initial=True)
    model.compile(optimizer, loss="mse")
    ids, targets = np.array([[0, 1], [4, 1], [2, 5]], np.int32), np.ones((3, 6), np.float32)
    model.train_on_batch(ids, targets)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == optimizer.get_config()
    for one in (model, loaded):
        one.train_on_batch(ids[:2], targets[:2])
    for expected, ours in zip(model.variables, loaded.variables, strict=True):
        np.testing.assert_array_equal(expected, ours)
    for expected, ours in zip(optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(expected, ours)


@pytest.mark.parametrize("shape", [(3,), (2, 2, 2)])
def test_variables_that_are_no_matrices_are_refused(shape):
    variable = keras.Variable(np.zeros(shape, np.float32), name="bias")
    with pytest.raises(ValueError, match=r"works on \[V, d\] tables; bias has shape"):
        GroupFtrl().apply([tf.zeros(shape)], [variable])


def test_a_refused_build_leaves_the_optimizer_unbuilt():
    optimizer, bias = GroupFtrl(), keras.Variable(np.zeros(3, np.float32), name="bias")
    for _ in range(2):
        with pytest.raises(ValueError, match=r"works on \[V, d\] tables"):
            optimizer.build([bias])


@pytest.mark.parametrize("strength", ["beta", "l1", "l2"])
def test_negative_strengths_are_refused(strength):
    with pytest.raises(ValueError, match="beta, l1 and l2 must not be negative"):
        GroupFtrl(**{strength: -1e-3})
