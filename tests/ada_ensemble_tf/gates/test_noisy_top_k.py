import numpy as np
import tensorflow as tf

from ada_ensemble_tf.gates import NoisyTopKGate


def gate_with_known_weights(**options) -> NoisyTopKGate:
    """M = 2, h = (relu(x1 + x2), 1), scores (h1, -h1, 1) and deviations softplus of (0, h1, 2)."""
    gate = NoisyTopKGate(3, reduction=2, hidden_size=2, initial_temperature=0.5, seed=3, **options)
    gate.build((None, 2))
    gate.squeeze.set_weights([np.ones((2, 1)), np.zeros(1)])
    gate.project.set_weights([np.array([[1.0, 0.0]]), np.array([0.0, 1.0])])
    gate.score.assign([[1.0, -1.0, 0.0], [0.0, 0.0, 1.0]])
    gate.deviation.assign([[0.0, 1.0, 0.0], [0.0, 0.0, 2.0]])
    return gate


def test_inference_by_hand():
    gates, report = gate_with_known_weights()(tf.constant([[2.0, 1.0], [0.2, 0.3]]), k=2)
    # Scores (3, -3, 1) and (0.5, -0.5, 1), over a temperature of 0.5.
    first, second = 1 / (1 + np.exp(-4.0)), 1 / (1 + np.exp(1.0))
    np.testing.assert_allclose(gates, [[first, 0.0, 1 - first], [second, 0.0, 1 - second]], rtol=1e-5)
    np.testing.assert_allclose([report.logit_min, report.logit_max], [-6.0, 6.0], rtol=1e-5)


def test_noise_is_normal_with_the_learned_deviation():
    rows = tf.tile([[2.0, 1.0]], [20000, 1])
    for noise in (1.0, 0.5):
        logits = gate_with_known_weights(noise=noise).logits(rows, training=True).numpy()
        np.testing.assert_allclose(logits.mean(axis=0), [6.0, -6.0, 2.0], atol=0.1)
        # Over a temperature of 0.5, which doubles it.
        np.testing.assert_allclose(logits.std(axis=0), 2 * noise * np.log1p(np.exp([0.0, 3.0, 2.0])), rtol=0.03)
        z = (logits - [6.0, -6.0, 2.0]) / logits.std(axis=0)
        np.testing.assert_allclose((np.abs(z) < 1.0).mean(axis=0), 0.683, atol=0.015)


def test_the_deviation_learns_in_training_alone():
    gate, rows = gate_with_known_weights(), tf.constant([[2.0, 1.0], [0.2, 0.3]])
    for training in (True, False):
        with tf.GradientTape() as tape:
            value = tf.reduce_sum(gate(rows, k=3, training=training)[0] * [1.0, 2.0, 5.0])
        gradient = tape.gradient(value, gate.deviation.value)
        assert (gradient is not None) == training
    assert gate.flops() == 2 * (2 * 1 + 1 * 2 + 2 * 3)


def test_noise_starts_as_the_paper_has_it():
    gate = NoisyTopKGate(3)
    gate.build((None, 8))
    assert not gate.deviation.numpy().any()
    silent = NoisyTopKGate(3, noise=0.0)
    silent.build((None, 8))
    assert not any("deviation" in v.path for v in silent.variables)
