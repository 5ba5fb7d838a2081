import keras
import numpy as np
import pytest
import tensorflow as tf
from layer_checks import check_gradients, check_zero_rows, random_weights, round_trip

from ada_ensemble_tf.gates import Gate
from ada_ensemble_tf.models.softmax_gate import SoftmaxGate

X = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)


def small_gate() -> SoftmaxGate:
    gate = SoftmaxGate(3)
    gate.build((None, 4))
    random_weights(gate)
    return gate


def test_by_hand():
    gate = SoftmaxGate(2)
    gate.build((None, 2))
    gate.kernel.assign([[1.0, 0.0], [0.0, 2.0]])
    gate.bias.assign([0.0, np.log(3.0)])
    # Logits 0 and log 3, then log 2 and 2 log 2 + log 3.
    gates, report = gate(tf.constant([[0.0, 0.0], [np.log(2.0), np.log(2.0)]], tf.float32))
    np.testing.assert_allclose(gates, [[1 / 4, 3 / 4], [2 / 14, 12 / 14]], rtol=1e-6)
    np.testing.assert_allclose(report.load, [0.0, 1.0])
    np.testing.assert_allclose(report.routed, [1.0, 1.0])
    np.testing.assert_allclose(report.probability, [(1 / 4 + 1 / 7) / 2, (3 / 4 + 6 / 7) / 2], rtol=1e-6)
    np.testing.assert_allclose(report.z, (np.log(4) ** 2 + np.log(14) ** 2) / 2, rtol=1e-6)
    np.testing.assert_allclose([report.logit_min, report.logit_max], [0.0, np.log(12)], atol=1e-6)
    assert gate.flops() == 8 and int(report.k) == 2 and not isinstance(gate, Gate)


def test_each_logit_reads_its_own():
    gate = small_gate()
    others = [X, 2.0 * X, -X]
    gates, _ = gate([tf.constant(x) for x in others])
    logits = np.stack([x @ gate.kernel.numpy()[:, j] for j, x in enumerate(others)], axis=1) + gate.bias.numpy()
    np.testing.assert_allclose(gates, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), rtol=1e-5)
    same, _ = gate([tf.constant(X)] * 3)
    np.testing.assert_allclose(same, gate(tf.constant(X))[0], rtol=1e-5)
    with pytest.raises(ValueError, match="one tensor, or one for each of 3 choices; received 2"):
        gate([tf.constant(X)] * 2)


def test_gradients_and_zero_rows():
    gate = small_gate()
    check_gradients(gate, X, step=1e-2, rtol=2e-2, atol=2e-3)
    check_zero_rows(gate, X)
    _, report = gate(tf.constant(X[:0]))
    assert all(np.isfinite(value).all() for value in report)


def test_round_trip():
    before, after = round_trip(small_gate(), X)
    np.testing.assert_array_equal(before, after)


def test_half_precision():
    gate = SoftmaxGate(3, dtype=keras.DTypePolicy("mixed_float16"))
    gate.build((None, 4))
    for x in (tf.constant(X), [tf.constant(X)] * 3):
        assert gate(x)[0].dtype == tf.float32


def test_wrong_size():
    with pytest.raises(ValueError, match="at least one choice; received num_choices=0"):
        SoftmaxGate(0)
