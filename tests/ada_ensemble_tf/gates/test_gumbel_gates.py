import itertools

import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.gates import GumbelThresholdGate, GumbelTopKGate

PROBABILITY = np.array([0.5, 0.3, 0.15, 0.05])
DRAWS = 40000


def logits_of(rows: int = 1) -> tf.Tensor:
    return tf.tile(tf.math.log(tf.constant(PROBABILITY, tf.float32))[None], [rows, 1])


def gate_with_logits(kind, logits, **options):
    """A gate whose router returns `logits` for all rows."""
    gate = kind(logits.shape[1], **({"noise": 1.0, "seed": 5} | options))
    gate.logits = lambda x0, training=False: logits
    return gate


def test_the_first_is_drawn_with_the_routers_probability():
    _, report = gate_with_logits(GumbelTopKGate, logits_of(DRAWS))(tf.zeros([DRAWS, 2]), k=1, training=True)
    np.testing.assert_allclose(report.load, PROBABILITY, atol=0.01)
    np.testing.assert_allclose(report.probability, PROBABILITY, rtol=1e-3)


def test_pairs_are_drawn_without_replacement():
    gates, _ = gate_with_logits(GumbelTopKGate, logits_of(DRAWS))(tf.zeros([DRAWS, 2]), k=2, training=True)
    kept = gates.numpy() > 0.0
    for i, j in itertools.combinations(range(4), 2):
        p, q = PROBABILITY[[i, j]]
        expected = p * q / (1 - p) + q * p / (1 - q)
        assert (kept[:, i] & kept[:, j]).mean() == pytest.approx(expected, abs=0.01)


def test_half_the_noise_is_as_logits_twice_as_large():
    gate = gate_with_logits(GumbelTopKGate, logits_of(DRAWS), noise=0.5)
    _, report = gate(tf.zeros([DRAWS, 2]), k=1, training=True)
    np.testing.assert_allclose(report.load, PROBABILITY**2 / (PROBABILITY**2).sum(), atol=0.01)


@pytest.mark.parametrize("kind", [GumbelTopKGate, GumbelThresholdGate])
def test_noise_only_picks(kind):
    gates, _ = gate_with_logits(kind, logits_of(200))(tf.zeros([200, 2]), k=2, training=True)
    for row in gates.numpy():
        kept = row > 0.0
        np.testing.assert_allclose(row[kept], PROBABILITY[kept] / PROBABILITY[kept].sum(), rtol=1e-4)


@pytest.mark.parametrize(
    "threshold, k, expected",
    [
        (0.05001, 4, [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0.0]),
        (0.2, 4, [0.625, 0.375, 0.0, 0.0]),
        (0.2, 1, [1.0, 0.0, 0.0, 0.0]),
        (0.0, 3, [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0.0]),
        (0.9, 4, [1.0, 0.0, 0.0, 0.0]),
    ],
)
def test_threshold_by_hand(threshold, k, expected):
    gates, report = gate_with_logits(GumbelThresholdGate, logits_of(), threshold=threshold)(tf.zeros([1, 2]), k=k)
    np.testing.assert_allclose(gates, [expected], rtol=1e-4)
    assert int(report.k) == k


def test_a_row_that_keeps_one_by_the_threshold_is_straight_through():
    logits = logits_of()
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        kept = gate_with_logits(GumbelThresholdGate, logits, threshold=0.4)(tf.zeros([1, 2]), k=4)[0][0, 0]
        probability = tf.nn.softmax(logits)[0, 0]
    assert float(kept) == 1.0
    np.testing.assert_allclose(tape.gradient(kept, logits), tape.gradient(probability, logits), rtol=1e-5)


def test_noise_moves_what_exceeds_the_threshold():
    gate = gate_with_logits(GumbelThresholdGate, logits_of(2000), threshold=0.2)
    kept = (gate(tf.zeros([2000, 2]), k=4, training=True)[0].numpy() > 0.0).sum(axis=1)
    assert set(kept) == {1, 2, 3, 4} or set(kept) == {1, 2, 3}
