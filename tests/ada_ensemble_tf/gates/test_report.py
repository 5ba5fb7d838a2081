import numpy as np
import tensorflow as tf

from ada_ensemble_tf.gates import gate_report

GATES = np.array([[0.75, 0.25, 0.0], [0.4, 0.6, 0.0]], np.float32)
PROBABILITY = np.array([[0.6, 0.2, 0.2], [0.4, 0.6, 0.0]], np.float32)
LOGITS = np.array([[3.0, -1.0], [0.5, 2.0]], np.float32)


def test_numbers_by_hand():
    report = gate_report(*map(tf.constant, (GATES, PROBABILITY, LOGITS)), 2, 0.25, temperature=0.5, penalty=3.0)
    np.testing.assert_allclose(report.load, [0.5, 0.5, 0.0])
    np.testing.assert_allclose(report.routed, [1.0, 1.0, 0.0])
    np.testing.assert_allclose(report.probability, [0.5, 0.4, 0.1], rtol=1e-6)
    # 0 log 0 is 0.
    entropy = -(0.6 * np.log(0.6) + 0.4 * np.log(0.2) + 0.4 * np.log(0.4) + 0.6 * np.log(0.6)) / 2
    np.testing.assert_allclose(report.entropy, entropy, rtol=1e-6)
    scalars = (report.z, report.logit_min, report.logit_max, report.temperature, report.k, report.penalty)
    assert [float(x) for x in scalars] == [0.25, -1.0, 3.0, 0.5, 2.0, 3.0]
    assert float(report.decorrelation) == 0.0


def test_without_rows_all_shares_are_zero():
    arrays = (GATES[:0], PROBABILITY[:0], LOGITS[:0])
    report = gate_report(*map(tf.constant, arrays), 2)
    assert all(not np.any(value) for name, value in report._asdict().items() if name not in ("k", "temperature"))
    assert report.load.shape == report.probability.shape == (3,)


def test_the_load_has_no_gradient_and_the_probability_has():
    gates, probability = tf.constant(GATES), tf.constant(PROBABILITY)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([gates, probability])
        report = gate_report(gates, probability, tf.constant(LOGITS), 2)
    assert tape.gradient(report.load, gates) is None
    np.testing.assert_allclose(tape.gradient(report.probability, probability), np.full((2, 3), 0.5))
