import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.losses import expected_log_loss, load_distribution_loss, log_loss, router_z_loss

LOG_3 = np.log(3)


def test_log_loss_by_hand():
    # Probabilities 3/4 and 1/4 of labels 1 and 1.
    value = log_loss(tf.constant([1.0, 1.0]), tf.constant([LOG_3, -LOG_3], tf.float32))
    assert float(value) == pytest.approx((np.log(4 / 3) + np.log(4)) / 2)


def test_log_loss_of_large_logits_is_finite():
    value = log_loss(tf.constant([1.0, 0.0]), tf.constant([-1000.0, -1000.0]))
    assert float(value) == pytest.approx(500)


def test_expected_log_loss_by_hand():
    labels = tf.constant([1.0, 0.0])
    logits = tf.constant([[LOG_3, -LOG_3], [0.0, LOG_3]], tf.float32)
    gates = tf.constant([[0.25, 0.75], [1.0, 0.0]])
    first = 0.25 * np.log(4 / 3) + 0.75 * np.log(4)
    second = np.log(2)
    assert float(expected_log_loss(labels, logits, gates)) == pytest.approx((first + second) / 2)


def test_expected_log_loss_of_one_exit_is_the_log_loss():
    labels = tf.constant([1.0, 0.0, 0.0])
    logits = tf.constant([0.3, -2.0, 1.0])
    expected = float(log_loss(labels, logits))
    assert float(expected_log_loss(labels, logits[:, None], tf.ones((3, 1)))) == pytest.approx(expected)


def test_expected_log_loss_ignores_exits_of_no_gate():
    labels, gates = tf.constant([1.0]), tf.constant([[1.0, 0.0]])
    values = []
    for ignored in (-1e30, 0.0, 1e30):
        logits = tf.constant([[0.5, ignored]])
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = expected_log_loss(labels, logits, gates)
        values.append(float(value))
        assert float(tape.gradient(value, logits)[0, 1]) == 0
    assert values == pytest.approx([np.log1p(np.exp(-0.5))] * 3)


def test_load_distribution_loss_by_hand():
    value = load_distribution_loss(
        tf.constant([0.5, 0.3, 0.2]), tf.constant([0.6, 0.3, 0.1]), tf.constant([0.5, 0.25, 0.25])
    )
    assert float(value) == pytest.approx(0.5 * 0.6 / 0.5 + 0.3 * 0.3 / 0.25 + 0.2 * 0.1 / 0.25)


def test_load_distribution_loss_of_a_uniform_prior_is_the_balance_loss():
    rng = np.random.default_rng(0)
    load, probability = rng.dirichlet(np.ones(5), 2).astype(np.float32)
    value = load_distribution_loss(tf.constant(load), tf.constant(probability), tf.fill([5], 0.2))
    assert float(value) == pytest.approx(5 * (load * probability).sum(), rel=1e-6)


def test_load_distribution_loss_has_no_gradient_through_the_load():
    load, probability = tf.constant([0.5, 0.5]), tf.constant([0.6, 0.4])
    with tf.GradientTape() as tape:
        tape.watch([load, probability])
        value = load_distribution_loss(load, probability, tf.constant([0.25, 0.75]))
    by_load, by_probability = tape.gradient(value, [load, probability])
    assert by_load is None
    np.testing.assert_allclose(by_probability, [0.5 / 0.25, 0.5 / 0.75], rtol=1e-6)


def test_router_z_loss_by_hand():
    # The sums of exponentials are 4 and e^2.
    logits = tf.constant([[0.0, LOG_3], [2.0, -100.0]], tf.float32)
    assert float(router_z_loss(logits)) == pytest.approx((np.log(4) ** 2 + 4) / 2)


def test_router_z_loss_of_no_rows_is_zero_with_finite_gradients():
    logits = tf.zeros((0, 3))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = router_z_loss(logits)
    assert float(value) == 0
    assert tape.gradient(value, logits).shape == (0, 3)
