import numpy as np
import pytest
import tensorflow as tf
from layer_checks import numeric_gradient

from ada_ensemble_tf.evaluation.metrics import cross_expert_correlation
from ada_ensemble_tf.losses.decorrelation import decorrelation_loss
from ada_ensemble_tf.moe.dispatch import SparseDispatcher
from ada_ensemble_tf.moe.routed_decorrelation import routed_decorrelation_loss


def some_outputs(rows: int = 40) -> list[np.ndarray]:
    """Three experts of 2, 3 and 3 dimensions that read the same rows."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(rows, 4))
    noise = rng.normal(size=(rows, 8))
    mixed = 5.0 + (x @ rng.normal(size=(4, 8)) + 0.5 * noise) * rng.uniform(0.1, 3.0, 8)
    return np.split(mixed.astype(np.float32), [2, 5], axis=1)


def correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """C of two experts, from NumPy's correlation matrix."""
    return np.corrcoef(first.T, second.T)[: first.shape[1], first.shape[1] :]


def test_loss_by_hand():
    first = tf.constant([[1.0], [2.0], [3.0]])
    # Correlations with it: 1, -1, 0, and 1/2 of (0, 2, 1).
    second = tf.constant([[10.0, -1.0, 1.0, 0.0], [20.0, -2.0, 0.0, 2.0], [30.0, -3.0, 1.0, 1.0]])
    assert float(decorrelation_loss([first, second])) == pytest.approx((1 + 1 + 0 + 1 / 4) / 4, abs=1e-6)
    # Three pairs: of the first with itself 1, of each with the second as above.
    assert float(decorrelation_loss([first, first, second])) == pytest.approx((1 + 2 * 9 / 16) / 3, abs=1e-6)


def test_metric_by_hand():
    first = np.array([[1.0], [2.0], [3.0]])
    second = np.array([[10.0, -1.0, 1.0, 0.0], [20.0, -2.0, 0.0, 2.0], [30.0, -3.0, 1.0, 1.0]])
    assert cross_expert_correlation([first, second]) == pytest.approx({"absolute": 2.5 / 4, "squared": 2.25 / 4})
    constant = np.full((3, 1), 0.1, np.float32)
    half = np.concatenate([first, constant], axis=1)
    assert cross_expert_correlation([first, half]) == pytest.approx({"absolute": 0.5, "squared": 0.5})
    assert cross_expert_correlation([first, constant]) == {"absolute": 0.0, "squared": 0.0}


def test_loss_and_metric_are_numpys_correlations():
    outputs = some_outputs()
    pairs = [correlations(outputs[i], outputs[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    squared = np.mean([np.mean(c**2) for c in pairs])
    metric = cross_expert_correlation(outputs)
    assert 0.05 < squared < 0.95
    assert metric["absolute"] == pytest.approx(np.mean([np.mean(np.abs(c)) for c in pairs]), rel=1e-5)
    assert metric["squared"] == pytest.approx(squared, rel=1e-5)
    assert float(decorrelation_loss([tf.constant(output) for output in outputs])) == pytest.approx(squared, rel=1e-5)


def test_independent_outputs_have_one_over_rows_less_one():
    rng = np.random.default_rng(0)
    metric = cross_expert_correlation([rng.normal(size=(101, 60)) for _ in range(3)])
    assert metric["squared"] == pytest.approx(1 / 100, rel=0.1)
    # The mean of |c| of a normal of that variance.
    assert metric["absolute"] == pytest.approx(np.sqrt(2 / np.pi / 100), rel=0.1)


@pytest.mark.parametrize("outputs", [[], [np.ones((5, 2))], [np.ones((1, 2))] * 2])
def test_metric_needs_experts_and_rows(outputs):
    with pytest.raises(ValueError, match="two or more experts and rows; received"):
        cross_expert_correlation(outputs)


def test_losses_need_two_experts():
    for call in (decorrelation_loss, lambda outputs: routed_decorrelation_loss(outputs, tf.ones([3, 1]))):
        with pytest.raises(ValueError, match="outputs must be those of two or more experts; received 1"):
            call([tf.ones([3, 2])])


def test_gradient_of_the_loss():
    outputs = [output.astype(np.float64) for output in some_outputs(6)]
    with tf.GradientTape() as tape:
        tensors = [tf.constant(output) for output in outputs]
        tape.watch(tensors)
        loss = decorrelation_loss(tensors)
    for i, gradient in enumerate(tape.gradient(loss, tensors)):
        numeric = numeric_gradient(
            lambda a, i=i: np.mean(
                [
                    np.mean(correlations(a if x == i else outputs[x], a if y == i else outputs[y]) ** 2)
                    for x, y in ((0, 1), (0, 2), (1, 2))
                ]
            ),
            outputs[i],
        )
        np.testing.assert_allclose(gradient, numeric, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "outputs",
    [
        [np.zeros((0, 2)), np.zeros((0, 3))],
        [np.ones((1, 2)), np.ones((1, 3))],
        [np.full((7, 2), 1e4), np.random.default_rng(0).normal(size=(7, 3))],
        [np.zeros((7, 2)), np.zeros((7, 3))],
    ],
    ids=["no rows", "one row", "one constant", "all constant"],
)
@pytest.mark.parametrize("routed", [False, True])
def test_nothing_to_correlate_is_zero_and_so_is_its_gradient(outputs, routed):
    tensors = [tf.constant(output, tf.float32) for output in outputs]

    @tf.function(autograph=False)
    def loss_and_gradients():
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            gates = tf.ones([len(outputs[0]), 2])
            loss = routed_decorrelation_loss(tensors, gates) if routed else decorrelation_loss(tensors)
        return loss, tape.gradient(loss, tensors)

    loss, gradients = loss_and_gradients()
    assert float(loss) == pytest.approx(0.0, abs=1e-10)
    for gradient in gradients:
        np.testing.assert_allclose(gradient, np.zeros(gradient.shape), atol=1e-6)


def test_routed_loss_is_over_shared_rows_and_weighted_by_them():
    outputs = some_outputs(30)
    gates = np.random.default_rng(1).uniform(size=(30, 3)) * (np.random.default_rng(2).uniform(size=(30, 3)) < 0.6)
    gates = gates.astype(np.float32)
    total = weights = 0.0
    for i, j in ((0, 1), (0, 2), (1, 2)):
        both = (gates[:, i] > 0) & (gates[:, j] > 0)
        assert 3 < both.sum() < 25
        total += (both.sum() - 1) * np.mean(correlations(outputs[i][both], outputs[j][both]) ** 2)
        weights += both.sum() - 1
    dispatcher = SparseDispatcher(tf.constant(gates))
    dispatched = [dispatcher.dispatch(tf.constant(output), [e])[e] for e, output in enumerate(outputs)]
    assert [len(output) for output in dispatched] == (gates > 0).sum(axis=0).tolist()
    assert float(routed_decorrelation_loss(dispatched, tf.constant(gates))) == pytest.approx(total / weights, rel=1e-4)
    of_all_rows = routed_decorrelation_loss([tf.constant(o) for o in outputs], tf.constant(gates), dense=True)
    assert float(of_all_rows) == pytest.approx(total / weights, rel=1e-4)


def test_routed_loss_of_all_rows_is_the_loss():
    outputs = [tf.constant(output) for output in some_outputs()]
    routed = routed_decorrelation_loss(outputs, tf.fill([40, 3], 1 / 3))
    assert float(routed) == pytest.approx(float(decorrelation_loss(outputs)), rel=1e-5)


def test_routed_loss_without_shared_rows_is_zero():
    gates = tf.constant([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    outputs = [tf.constant([[1.0, 2.0]]), tf.constant([[3.0, 1.0], [5.0, 2.0]])]
    assert float(routed_decorrelation_loss(outputs, gates)) == 0.0


def test_gradient_of_the_routed_loss_reaches_through_a_reshape():
    gates = tf.constant([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [1.0, 0.0]])
    with tf.GradientTape() as tape:
        x = tf.constant(np.random.default_rng(0).normal(size=(4, 6)), tf.float32)
        tape.watch(x)
        first = tf.reshape(tf.reshape(x, [4, 2, 3]), [-1, 6])
        loss = routed_decorrelation_loss([first[:, :4], first[:3, 4:]], gates)
    gradient = tape.gradient(loss, x).numpy()
    assert np.abs(gradient[:3]).max() > 1e-3
    # The last row went to one expert only.
    np.testing.assert_array_equal(gradient[3], 0.0)
