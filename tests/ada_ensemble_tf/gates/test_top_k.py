import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.gates.top_k import masked_softmax, top_k_gates, top_k_mask


def test_mask_keeps_the_k_largest_of_each_row():
    logits = tf.constant([[0.1, 0.9, 0.5, -0.3], [2.0, -1.0, 0.0, 1.0]])
    mask = top_k_mask(logits, tf.constant(2))
    assert mask.numpy().tolist() == [[False, True, True, False], [True, False, False, True]]


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_mask_keeps_exactly_k_where_logits_are_equal(k):
    mask = top_k_mask(tf.zeros([3, 4]), tf.constant(k))
    assert mask.numpy().tolist() == [[j < k for j in range(4)]] * 3


def test_gates_by_hand_for_two_of_three():
    gates, probability = top_k_gates(tf.math.log([[1.0, 2.0, 6.0]]), tf.constant(2))
    np.testing.assert_allclose(gates, [[0.0, 0.25, 0.75]], rtol=1e-6)
    np.testing.assert_allclose(probability, [[1 / 9, 2 / 9, 6 / 9]], rtol=1e-6)


def test_gates_of_all_are_the_softmax():
    logits = tf.random.stateless_normal([7, 5], [1, 2])
    gates, probability = top_k_gates(logits, tf.constant(5))
    np.testing.assert_allclose(gates, probability, rtol=1e-6)


def test_one_gate_is_exactly_one_and_has_the_gradient_of_the_probability():
    logits = tf.constant([[0.3, 1.1, -0.4], [0.7, 0.2, 0.1]])
    upstream = tf.constant([[5.0, 2.0, 7.0], [3.0, 4.0, 5.0]])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        gates, _ = top_k_gates(logits, tf.constant(1))
        straight = tf.reduce_sum(gates * upstream)
        # Only the kept gate is used, so only its upstream gradient counts.
        through = tf.reduce_sum(tf.nn.softmax(logits) * [[0.0, 2.0, 0.0], [3.0, 0.0, 0.0]])
    assert gates.numpy().tolist() == [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    expected = tape.gradient(through, logits)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(tape.gradient(straight, logits), expected, rtol=1e-5)


def test_k_may_change_inside_a_graph():
    gates_of = tf.function(lambda logits, k: top_k_gates(logits, k)[0], autograph=False)
    logits = tf.random.stateless_normal([4, 5], [3, 4])
    for k in (5, 3, 1):
        gates = gates_of(logits, tf.constant(k)).numpy()
        assert ((gates > 0).sum(axis=1) == k).all()
        np.testing.assert_allclose(gates.sum(axis=1), 1.0, rtol=1e-6)


def test_masked_softmax_has_finite_gradients_for_large_logits():
    logits = tf.constant([[1000.0, -1000.0, 999.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = masked_softmax(logits, tf.constant([[True, False, True]]))[0, 0]
    np.testing.assert_allclose(value, 1 / (1 + np.exp(-1.0)), rtol=1e-6)
    gradient = tape.gradient(value, logits).numpy()
    slope = value * (1 - value)
    np.testing.assert_allclose(gradient, [[slope, 0.0, -slope]], rtol=1e-5)
