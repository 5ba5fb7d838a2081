import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.moe import DenseDispatcher, SparseDispatcher

EXPERTS, ROWS, WIDTH = 4, 12, 5


def gates_of(kind: str) -> tf.Tensor:
    rng = np.random.default_rng(0)
    gates = rng.uniform(0.1, 1.0, (ROWS, EXPERTS))
    if kind == "one empty, one full":
        gates[rng.random((ROWS, EXPERTS)) < 0.5] = 0.0
        gates[:, 1], gates[:, 2] = 0.0, 0.7
    elif kind == "all rows to one":
        gates[:, :3] = 0.0
    elif kind == "no rows":
        gates = gates[:0]
    return tf.constant(gates, tf.float32)


@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize("kind", ["all full", "one empty, one full", "all rows to one", "no rows"])
def test_equals_the_sparse_dispatcher_with_its_gradients(kind, in_graph):
    gates = gates_of(kind)
    x = tf.random.stateless_normal([gates.shape[0], WIDTH], [1, 2])
    kernels = tf.random.stateless_normal([EXPERTS, WIDTH, WIDTH], [3, 4])

    def run(kind_of_dispatcher):
        with tf.GradientTape() as tape:
            tape.watch([x, gates, kernels])
            dispatcher = kind_of_dispatcher(gates)
            rows = dispatcher.dispatch(x)
            y = dispatcher.combine([tf.tanh(tf.matmul(rows[j], kernels[j])) for j in range(EXPERTS)])
            loss = tf.reduce_sum(tf.square(y))
        return y, *tape.gradient(loss, [x, kernels, gates])

    dense = (tf.function(run, autograph=False) if in_graph else run)(DenseDispatcher)
    sparse = run(SparseDispatcher)
    for ours, twin in zip(dense[:3], sparse[:3], strict=True):
        np.testing.assert_allclose(ours, twin, rtol=1e-5, atol=1e-5)
    # Where a gate is zero the sparse one knows no gradient.
    np.testing.assert_allclose(dense[3] * tf.cast(gates > 0.0, tf.float32), sparse[3], rtol=1e-5, atol=1e-5)


def test_by_hand():
    dispatcher = DenseDispatcher(tf.constant([[0.25, 0.75], [1.0, 0.0]]))
    x = tf.constant([[1.0], [2.0]])
    assert [rows.numpy().tolist() for rows in dispatcher.dispatch(x).values()] == [[[1.0], [2.0]]] * 2
    assert list(dispatcher.dispatch(x, [1])) == [1] and dispatcher.dispatch(x, []) == {}
    y = dispatcher.combine([tf.constant([[4.0], [8.0]]), tf.constant([[100.0], [200.0]])])
    assert y.numpy().tolist() == [[76.0], [8.0]]
    assert dispatcher.counts().numpy().tolist() == [2.0, 2.0]


def test_weights_before_the_experts_by_hand():
    dispatcher = DenseDispatcher(tf.constant([[0.25, 0.75], [0.0, 1.0]]), "pre")
    rows = dispatcher.dispatch(tf.constant([[4.0], [3.0]]))
    assert [rows[j].numpy().tolist() for j in range(2)] == [[[1.0], [0.0]], [[3.0], [3.0]]]
    # Experts that square and add 1: the second row does not keep the first, so its 1 does not count.
    squared = [rows[j] ** 2 + 1.0 for j in range(2)]
    assert dispatcher.combine(squared).numpy().tolist() == [[2.0 + 10.0], [10.0]]
