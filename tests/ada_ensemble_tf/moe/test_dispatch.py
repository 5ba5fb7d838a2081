import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.moe import SparseDispatcher
from ada_ensemble_tf.moe.dispatch import take_rows

EXPERTS, ROWS, WIDTH = 4, 12, 5


def gates_of(kind: str) -> np.ndarray:
    """Gates with an empty expert, a full expert, equally full experts, one row, or no rows."""
    rng = np.random.default_rng(0)
    gates = rng.uniform(0.1, 1.0, (ROWS, EXPERTS)).astype(np.float32)
    if kind == "one empty, one full":
        gates[:, 1] = 0.0
        gates[rng.random((ROWS, EXPERTS)) < 0.5] = 0.0
        gates[:, 1], gates[:, 2] = 0.0, 0.7
    elif kind == "all rows to one":
        gates[:, :3] = 0.0
    elif kind == "no rows":
        gates = gates[:0]
    elif kind == "one row":
        gates = gates[:1] * [1, 0, 0, 1]
    return gates.astype(np.float32)


KINDS = ["dense", "one empty, one full", "all rows to one", "one row", "no rows"]


def sparse(x, gates, kernels):
    dispatcher = SparseDispatcher(gates)
    rows = dispatcher.dispatch(x)
    return dispatcher.combine([tf.tanh(tf.matmul(rows[j], kernels[j])) for j in range(EXPERTS)])


def dense(x, gates, kernels):
    outputs = tf.tanh(tf.einsum("bm,emn->ben", x, kernels))
    return tf.einsum("be,ben->bn", gates, outputs)


@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_dense_einsum_with_its_gradients(kind, in_graph):
    gates = tf.constant(gates_of(kind))
    x = tf.random.stateless_normal([gates.shape[0], WIDTH], [1, 2])
    kernels = tf.random.stateless_normal([EXPERTS, WIDTH, WIDTH], [3, 4])
    upstream = tf.random.stateless_normal([gates.shape[0], WIDTH], [5, 6])

    def run(form):
        with tf.GradientTape() as tape:
            tape.watch([x, gates, kernels])
            # Before dispatch as in a network, so that the gradient of taking rows flows on into other gradients.
            y = form(2.0 * x, gates, kernels)
            loss = tf.reduce_sum(y * upstream)
        return y, *tape.gradient(loss, [x, kernels, gates])

    y, dx, dkernels, dgates = (tf.function(run, autograph=False) if in_graph else run)(sparse)
    dense_y, dense_dx, dense_dkernels, dense_dgates = run(dense)
    np.testing.assert_allclose(y, dense_y, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(dx, dense_dx, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(dkernels, dense_dkernels, rtol=1e-5, atol=1e-5)
    # A gate that is zero was not computed, so it has no gradient; the kept ones have the dense one's.
    np.testing.assert_allclose(dgates, dense_dgates * (gates.numpy() > 0), rtol=1e-5, atol=1e-5)


def test_gates_weight_the_outputs():
    gates = tf.constant([[0.25, 0.75], [1.0, 0.0]])
    dispatcher = SparseDispatcher(gates)
    y = dispatcher.combine([tf.constant([[4.0], [8.0]]), tf.constant([[100.0]])])
    assert y.numpy().tolist() == [[0.25 * 4.0 + 0.75 * 100.0], [8.0]]


def test_counts_and_rows_by_hand():
    dispatcher = SparseDispatcher(tf.constant([[0.0, 1.0, 0.0], [0.5, 0.5, 0.0]]))
    assert dispatcher.counts().numpy().tolist() == [1.0, 2.0, 0.0]
    rows = dispatcher.dispatch(tf.constant([[10.0], [20.0]]))
    assert [rows[j].numpy().tolist() for j in range(3)] == [[[20.0]], [[10.0], [20.0]], []]


def test_only_readers_are_served():
    dispatcher = SparseDispatcher(tf.constant([[0.5, 0.5], [1.0, 0.0]]))
    served = dispatcher.dispatch(tf.constant([[1.0], [2.0]]), [1])
    assert list(served) == [1] and served[1].numpy().tolist() == [[1.0]]
    assert dispatcher.dispatch(tf.constant([[1.0], [2.0]]), []) == {}


def test_taken_rows_have_a_dense_gradient():
    x = tf.constant([[1.0], [2.0], [3.0]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(take_rows(x, tf.constant([2, 0, 2])) * [[1.0], [10.0], [100.0]])
    gradient = tape.gradient(y, x)
    assert isinstance(gradient, tf.Tensor)
    assert gradient.numpy().tolist() == [[10.0], [0.0], [101.0]]
