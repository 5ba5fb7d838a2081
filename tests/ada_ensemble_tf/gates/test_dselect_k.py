import keras
import numpy as np
import pytest
import tensorflow as tf
from layer_checks import numeric_gradient, random_weights

from ada_ensemble_tf.gates import DSelectKGate
from ada_ensemble_tf.gates.smooth_step import smooth_step

WIDTH = 12


def built(num_choices: int, **options) -> DSelectKGate:
    gate = DSelectKGate(num_choices, reduction=3, hidden_size=4, noise=0.0, **options)
    gate.build((None, WIDTH))
    return gate


def fixed_codes(gate: DSelectKGate, z: list[list[float]], w: list[float]) -> None:
    """Makes z (one row a selector) and softmax(w) the same for all rows."""
    gate.project.set_weights([np.zeros(gate.project.kernel.shape), np.array([0.0, 0.0, 0.0, 1.0])])
    gate.code.assign(np.zeros(gate.code.shape))
    gate.code_bias.assign(np.ravel(z) * gate.temperature.numpy())
    mix = np.zeros(gate.mix.shape)
    mix[3] = w
    gate.mix.assign(mix)


def reference(gate: DSelectKGate, x0: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(sum_i softmax(w)_i r_ij, r): the paper's formulas in NumPy, by loops."""
    value = {v.path.split("/", 1)[1]: v.numpy().astype(np.float64) for v in gate.trainable_variables}
    h = np.maximum(x0 @ value["squeeze/kernel"] + value["squeeze/bias"], 0.0)
    h = h @ value["project/kernel"] + value["project/bias"]
    z = (h @ value["code"] + value["code_bias"]) / np.log1p(np.exp(value["raw_temperature"]))
    w = np.exp(h @ value["mix"])
    w /= w.sum(axis=1, keepdims=True)
    bits = int(np.ceil(np.log2(gate.num_choices)))
    r = np.ones((len(x0), gate.selectors, gate.num_choices))
    for b, i, j, bit in np.ndindex(len(x0), gate.selectors, gate.num_choices, bits):
        t, gamma = z[b, i * bits + bit], gate.gamma
        step = 0.0 if t <= -gamma / 2 else 1.0 if t >= gamma / 2 else -2 * t**3 / gamma**3 + 1.5 * t / gamma + 0.5
        r[b, i, j] *= step if (j // 2**bit) % 2 else 1.0 - step
    return np.einsum("bi,bij->bj", w, r), r


def test_smooth_step_by_hand():
    t = tf.constant([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0])
    np.testing.assert_allclose(smooth_step(t, gamma=2.0), [0.0, 0.0, 0.15625, 0.5, 0.84375, 1.0, 1.0], rtol=1e-6)
    assert smooth_step(tf.constant(0.25)).numpy() == pytest.approx(-2 * 0.25**3 + 1.5 * 0.25 + 0.5)
    with tf.GradientTape() as tape:
        tape.watch(t)
        value = smooth_step(t, gamma=2.0)
    # Continuous at the ends of the slope.
    np.testing.assert_allclose(tape.gradient(value, t), [0.0, 0.0, 0.5625, 0.75, 0.5625, 0.0, 0.0], atol=1e-6)


@pytest.mark.parametrize("num_choices", [2, 4, 5, 8])
def test_equals_the_numpy_reference(num_choices):
    gate = built(num_choices, selectors=2, gamma=1.5)
    random_weights(gate)
    for variable in (gate.code, gate.code_bias):
        variable.assign(0.05 * variable)
    x0 = np.random.default_rng(1).normal(size=(30, WIDTH)).astype(np.float32)
    mass, r = reference(gate, x0)
    probability = mass / mass.sum(axis=1, keepdims=True)
    assert mass.sum(axis=1).min() > 1e-3 and (num_choices == 2 or (mass == 0).any())
    gates, report = gate(x0, k=num_choices)
    np.testing.assert_allclose(gates, probability, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(report.probability, probability.mean(axis=0), rtol=1e-4)
    positive = probability[probability > 0]
    np.testing.assert_allclose(report.entropy, -(positive * np.log(positive)).sum() / 30, rtol=1e-4)
    entropies = -(r * np.log(np.maximum(r, 1e-30))).sum()
    unused = (1 / r.sum(axis=2)).sum() if num_choices == 5 else 0.0
    np.testing.assert_allclose(report.penalty, 0.01 * (entropies + unused) / 30, rtol=1e-4)
    assert float(report.z) == 0.0


def test_selectors_at_codes_are_exactly_one_hot():
    gate = built(4, selectors=2)
    # Codes 1 (bits 1, 0) and 2 (bits 0, 1).
    fixed_codes(gate, [[0.9, -0.9], [-0.9, 0.9]], [np.log(3.0), 0.0])
    gates, report = gate(tf.zeros([6, WIDTH]), k=4)
    np.testing.assert_allclose(gates, [[0.0, 0.75, 0.25, 0.0]] * 6, rtol=1e-6)
    assert float(report.penalty) == 0.0
    assert report.routed.numpy().tolist() == [0.0, 1.0, 1.0, 0.0]


def test_k_keeps_the_largest_gates_and_renormalises():
    gate = built(4, selectors=3)
    fixed_codes(gate, [[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9]], np.log([5.0, 3.0, 2.0]))
    x0 = tf.zeros([2, WIDTH])
    np.testing.assert_allclose(gate(x0, k=4)[0], [[0.5, 0.3, 0.0, 0.2]] * 2, rtol=1e-5)
    np.testing.assert_allclose(gate(x0, k=2)[0], [[0.625, 0.375, 0.0, 0.0]] * 2, rtol=1e-5)
    np.testing.assert_array_equal(gate(x0, k=1)[0], [[1.0, 0.0, 0.0, 0.0]] * 2)


def test_mass_on_unused_codes_is_penalised_and_divided_out():
    gate = built(3, selectors=1, entropy_weight=0.0, unused_weight=2.0)
    # S(0.25) = 0.84375 on both bits: codes 0, 1, 2 have .0244, .1318, .1318 and the unused 3 has .7119.
    fixed_codes(gate, [[0.25, 0.25]], [0.0])
    gates, report = gate(tf.zeros([3, WIDTH]), k=3)
    s = 0.84375
    mass = np.array([(1 - s) ** 2, s * (1 - s), s * (1 - s)])
    np.testing.assert_allclose(gates, [mass / mass.sum()] * 3, rtol=1e-5)
    np.testing.assert_allclose(report.penalty, 2.0 / (1 - s * s), rtol=1e-5)


def test_a_row_with_all_mass_on_unused_codes_has_equal_gates():
    gate = built(3, selectors=1)
    fixed_codes(gate, [[0.9, 0.9]], [0.0])
    gates, report = gate(tf.zeros([2, WIDTH]), k=3)
    np.testing.assert_allclose(gates, 1 / 3, rtol=1e-6)
    np.testing.assert_allclose(gate(tf.zeros([2, WIDTH]), k=2)[0], [[0.5, 0.5, 0.0]] * 2)
    assert np.isfinite(report.penalty)


def test_gradient_of_the_penalty_equals_central_differences():
    gate = built(3, selectors=2, unused_weight=0.3)
    r = np.random.default_rng(2).uniform(0.1, 0.9, (2, 2, 3))
    with tf.GradientTape() as tape:
        tensor = tf.constant(r)
        tape.watch(tensor)
        value = gate.penalty(tensor)
    np.testing.assert_allclose(tape.gradient(value, tensor), numeric_gradient(gate.penalty, r), rtol=1e-6)


def test_all_choices_are_open_at_first():
    keras.utils.set_random_seed(0)
    gate = DSelectKGate(8)
    gate.build((None, 64))
    x0 = np.random.default_rng(3).normal(size=(50, 64)).astype(np.float32)
    gates, _ = gate(x0, k=8)
    assert gates.numpy().min() > 0.03 and gates.numpy().max() < 0.3


def test_flops_by_hand():
    gate = built(5, selectors=2)
    # FFN 12 -> 4 -> 4, three bits and a weight a selector, two selectors over five choices.
    assert gate.flops() == 2 * (12 * 4 + 4 * 4 + 4 * 2 * (3 + 1) + 2 * 5)
