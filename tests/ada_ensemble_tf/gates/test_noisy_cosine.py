import keras
import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.gates import NoisyCosineGate


def gate_with_known_weights() -> NoisyCosineGate:
    """M = 4, one inner unit, two hidden, three choices; hidden = (relu(x0 . 1), 1)."""
    gate = NoisyCosineGate(3, reduction=4, hidden_size=2, initial_temperature=0.5)
    gate.build((None, 4))
    gate.squeeze.set_weights([np.ones((4, 1)), np.zeros(1)])
    gate.project.set_weights([np.array([[1.0, 0.0]]), np.array([0.0, 1.0])])
    gate.choices.assign([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
    return gate


def reference(gate: NoisyCosineGate, x0: np.ndarray, k: int) -> np.ndarray:
    """Equations 7 to 11 without noise, in NumPy."""
    w1, b1 = (v.numpy() for v in (gate.squeeze.kernel, gate.squeeze.bias))
    w2, b2 = (v.numpy() for v in (gate.project.kernel, gate.project.bias))
    h = np.maximum(x0 @ w1 + b1, 0) @ w2 + b2
    e = gate.choices.numpy()
    s = h @ e.T / np.linalg.norm(h, axis=1)[:, None] / np.linalg.norm(e, axis=1)
    g = s / np.log1p(np.exp(gate.raw_temperature.numpy()))
    kept = np.argsort(-g, axis=1)[:, :k]
    gates = np.zeros_like(g)
    for row, columns in enumerate(kept):
        weights = np.exp(g[row, columns])
        gates[row, columns] = weights / weights.sum()
    return gates


def test_by_hand():
    gate = gate_with_known_weights()
    # h = (3, 1): cosines with (2, 0), (0, 3), (1, 1).
    logits = gate.logits(tf.constant([[1.0, 1.0, 1.0, 0.0]]))
    cosines = np.array([3 / np.sqrt(10), 1 / np.sqrt(10), 4 / np.sqrt(20)])
    np.testing.assert_allclose(logits, [cosines / 0.5], rtol=1e-5)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_equals_the_numpy_reference(k):
    gate = NoisyCosineGate(5, reduction=4)
    x0 = np.random.default_rng(0).normal(size=(40, 24)).astype(np.float32)
    gate.build(x0.shape)
    gate.project.bias.assign(np.linspace(-1.0, 1.0, 16))
    gates, _ = gate(x0, k=k)
    np.testing.assert_allclose(gates, reference(gate, x0, k), rtol=2e-4, atol=1e-6)


def test_report_by_hand():
    gate = gate_with_known_weights()
    # h = (3, 1) twice and (0, 1): the largest logits are choices 0, 0 and 1... of cosine .949, .894 and 1.
    x0 = tf.constant([[1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 3.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    gates, report = gate(x0, k=2)
    logits = gate.logits(x0).numpy()
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(report.load, [2 / 3, 1 / 3, 0.0], rtol=1e-6)
    np.testing.assert_allclose(report.routed, [2 / 3, 1 / 3, 1.0], rtol=1e-6)
    np.testing.assert_allclose(report.probability, p.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(report.entropy, -(p * np.log(p)).sum(axis=1).mean(), rtol=1e-5)
    np.testing.assert_allclose(report.z, (np.log(np.exp(logits).sum(axis=1)) ** 2).mean(), rtol=1e-5)
    np.testing.assert_allclose([report.logit_min, report.logit_max], [logits.min(), logits.max()], rtol=1e-6)
    np.testing.assert_allclose(report.temperature, 0.5, rtol=1e-6)
    assert int(report.k) == 2
    np.testing.assert_allclose(tf.reduce_sum(gates, axis=1), 1.0, rtol=1e-6)


def test_noise_is_there_in_training_only_and_within_its_bounds():
    gate = NoisyCosineGate(3, reduction=2, noise=0.5, seed=1)
    x0 = np.ones((6, 8), np.float32)
    gate.build(x0.shape)
    gate.project.bias.assign(np.linspace(-1.0, 1.0, 16))
    quiet = gate.logits(x0)
    np.testing.assert_array_equal(quiet, gate.logits(x0, training=False))
    assert np.abs(quiet - gate.logits(x0, training=True)).max() > 1e-4
    assert np.abs(gate.logits(x0, training=True) - gate.logits(x0, training=True)).max() > 1e-4
    # With an identity instead of the FFN, the output is the jittered input: x0 * U(0.5, 1.5).
    seen = []
    gate.squeeze.call = lambda x: seen.append(x) or tf.zeros([6, 4])
    gate.project.call = lambda x: tf.ones([6, 16])
    gate.logits(1000.0 * x0, training=True)
    assert 500.0 <= np.min(seen[0]) < 600.0 and 1400.0 < np.max(seen[0]) <= 1500.0


def test_stop_gradient_is_an_option():
    for stop in (True, False):
        gate = NoisyCosineGate(3, stop_gradient=stop)
        x0 = tf.random.stateless_normal([5, 8], [1, 1])
        with tf.GradientTape() as tape:
            tape.watch(x0)
            value = gate(x0, k=2)[0][0, 0] + tf.reduce_sum(gate.logits(x0))
        assert (tape.gradient(value, x0) is None) == stop


def test_gradient_equals_central_differences():
    gate = NoisyCosineGate(4, reduction=2, hidden_size=3, noise=0.0)
    x0 = tf.random.stateless_normal([6, 8], [2, 2])
    weights = tf.random.stateless_normal([6, 4], [3, 3])

    def value():
        return tf.reduce_sum(gate(x0, k=4)[0] * weights)

    with tf.GradientTape() as tape:
        loss = value()
    variables = [gate.raw_temperature, gate.choices]
    gradients = tape.gradient(loss, [v.value for v in variables])
    for variable, gradient in zip(variables, gradients, strict=True):
        start, direction = variable.numpy(), np.ones(variable.shape, np.float32)
        direction.flat[0] = 2.0
        step = 1e-2
        variable.assign(start + step * direction)
        up = value()
        variable.assign(start - step * direction)
        down = value()
        variable.assign(start)
        np.testing.assert_allclose(tf.reduce_sum(gradient * direction), (up - down) / (2 * step), rtol=2e-2, atol=1e-3)
    assert abs(float(gradients[0])) > 1e-4


@pytest.mark.parametrize("in_graph", [False, True])
def test_no_rows(in_graph):
    gate = NoisyCosineGate(3)

    def run(x0):
        with tf.GradientTape() as tape:
            gates, report = gate(x0, k=2, training=True)
            loss = tf.reduce_sum(gates) + tf.reduce_sum(report.probability) + report.z + report.entropy
        return gates, report, tape.gradient(loss, [v.value for v in gate.trainable_variables])

    gates, report, gradients = (tf.function(run, autograph=False) if in_graph else run)(tf.zeros([0, 8]))
    assert gates.shape == (0, 3)
    assert all(np.isfinite(value).all() for value in report)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_keras_round_trip(tmp_path):
    inputs = keras.Input((8,))
    gates, report = NoisyCosineGate(3, reduction=2, noise=0.1, initial_temperature=0.7)(inputs, k=2)
    model = keras.Model(inputs, [gates, report.load])
    model.save(tmp_path / "gate.keras")
    again = keras.models.load_model(tmp_path / "gate.keras")
    x0 = np.random.default_rng(1).normal(size=(9, 8)).astype(np.float32)
    for before, after in zip(model(x0), again(x0), strict=True):
        np.testing.assert_array_equal(before, after)


def test_flops_are_those_of_the_released_sizes():
    gate = NoisyCosineGate(5)
    gate.build((None, 624))
    assert gate.flops() == 2 * (624 * 39 + 39 * 16 + 5 * 16)
    assert gate.flops() / 1e6 == pytest.approx(0.050, abs=0.0005)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"noise": 1.5}, r"noise must lie in \[0, 1\]; received 1.5"),
        ({"initial_temperature": 0.0}, "initial_temperature must be a finite number above 0; received 0.0"),
        ({"num_choices": 0}, "num_choices must be a whole number of at least 1; received 0"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        NoisyCosineGate(**({"num_choices": 3} | arguments))
