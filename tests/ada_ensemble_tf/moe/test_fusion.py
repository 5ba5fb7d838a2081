import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from layer_checks import config_round_trip

from ada_ensemble_tf.moe import SparseFusion
from ada_ensemble_tf.moe.fusion import FUSION_ACTIVATIONS, FUSION_MODES

KINDS = list(itertools.product(FUSION_MODES, FUSION_ACTIVATIONS))
EXPERTS, WIDTH = 3, 4


def outputs_of(rows: int = 6) -> list[tf.Tensor]:
    return [tf.random.stateless_normal([rows, WIDTH], [1, j]) for j in range(EXPERTS)]


def built(mode: str, activation: str, logits=None, temperature: float = 1.0) -> SparseFusion:
    fusion = SparseFusion(EXPERTS, mode, activation)
    fusion.build((None, WIDTH))
    if logits is not None:
        fusion.logits.assign(np.reshape(logits, fusion.logits.shape))
    if fusion.raw_temperature is not None:
        fusion.raw_temperature.assign(np.full(fusion.raw_temperature.shape, np.log(np.expm1(temperature))))
    return fusion


@pytest.mark.parametrize("mode, activation", KINDS)
def test_starts_as_the_sum_or_the_mean(mode, activation):
    fusion, outputs = built(mode, activation), outputs_of()
    share = 1.0 if activation in ("sigmoid", "smooth_step") else 1 / EXPERTS
    np.testing.assert_allclose(fusion(outputs), share * np.sum(outputs, axis=0), rtol=1e-5, atol=1e-6)
    assert fusion.logits.shape == (EXPERTS, 1 if mode == "vector" else WIDTH)


@pytest.mark.parametrize(
    "activation, expected",
    [
        ("sigmoid", 2 / (1 + np.exp([-0.6, 0.4, 2.0]))),
        ("smooth_step", [2 * (-2 * 0.6**3 / 8 + 1.5 * 0.6 / 2 + 0.5), 2 * (2 * 0.4**3 / 8 - 1.5 * 0.4 / 2 + 0.5), 0.0]),
        ("softmax", np.exp([1.2, -0.8, -4.0]) / np.exp([1.2, -0.8, -4.0]).sum()),
        ("sparsemax", [1.0, 0.0, 0.0]),
    ],
)
def test_vector_weights_by_hand(activation, expected):
    fusion = built("vector", activation, [0.6, -0.4, -2.0], temperature=0.5)
    np.testing.assert_allclose(fusion.weights_of_experts()[:, 0], expected, rtol=1e-5, atol=1e-7)
    outputs = outputs_of()
    np.testing.assert_allclose(fusion(outputs), np.einsum("jbm,j->bm", outputs, expected), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("activation", FUSION_ACTIVATIONS)
def test_bit_weights_are_those_of_a_vector_fusion_in_each_dimension(activation):
    logits = np.random.default_rng(0).normal(size=(EXPERTS, WIDTH))
    fused = built("bit", activation, logits, 0.7)(outputs_of())
    for m in range(WIDTH):
        alone = built("vector", activation, logits[:, m], 0.7)(outputs_of())
        np.testing.assert_allclose(fused[:, m], alone[:, m], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode, activation", KINDS)
def test_gradients_equal_central_differences(mode, activation):
    logits = np.array([0.6, -0.4, 0.2] if mode == "vector" else np.random.default_rng(1).uniform(-0.6, 0.6, (3, 4)))
    fusion, outputs = built(mode, activation, logits), outputs_of()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(fusion(outputs) ** 2)
    variables = fusion.trainable_variables
    gradients = tape.gradient(loss, [v.value for v in variables])
    for variable, gradient in zip(variables, gradients, strict=True):
        start, direction = variable.numpy(), np.linspace(1.0, 2.0, variable.numpy().size).reshape(variable.shape)
        values = []
        for step in (1e-2, -1e-2):
            variable.assign(start + step * direction)
            values.append(float(tf.reduce_sum(fusion(outputs) ** 2)))
        variable.assign(start)
        numeric = (values[0] - values[1]) / 2e-2
        assert numeric == pytest.approx(float(tf.reduce_sum(gradient * direction)), rel=2e-2, abs=1e-2)


@pytest.mark.parametrize("mode, activation", KINDS)
def test_no_rows_and_configuration(mode, activation):
    fusion = built(mode, activation)
    with tf.GradientTape() as tape:
        output = fusion(outputs_of(0))
        loss = tf.reduce_sum(output)
    assert output.shape == (0, WIDTH)
    assert all(np.isfinite(g).all() for g in tape.gradient(loss, [v.value for v in fusion.trainable_variables]))
    again = config_round_trip(fusion)
    assert (again.num_experts, again.mode, again.activation) == (EXPERTS, mode, activation)


def test_keras_round_trip(tmp_path):
    inputs = [keras.Input((WIDTH,)) for _ in range(EXPERTS)]
    fusion = SparseFusion(EXPERTS, "bit", "sparsemax")
    model = keras.Model(inputs, fusion(inputs))
    fusion.logits.assign(np.random.default_rng(2).normal(size=fusion.logits.shape))
    model.save(tmp_path / "fusion.keras")
    again = keras.models.load_model(tmp_path / "fusion.keras")
    np.testing.assert_array_equal(again(outputs_of()), model(outputs_of()))


def test_report_by_hand():
    report = built("vector", "smooth_step", [0.0, 0.5, -1.0]).report()
    weights = np.array([1.0, 2 * (-2 * 0.125 / 8 + 0.375 + 0.5), 0.0])
    share = weights / weights.sum()
    assert report.load.numpy().tolist() == [0.0, 1.0, 0.0] and report.routed.numpy().tolist() == [1.0, 1.0, 0.0]
    np.testing.assert_allclose(report.probability, share, rtol=1e-6)
    np.testing.assert_allclose(report.entropy, -(share[:2] * np.log(share[:2])).sum(), rtol=1e-5)
    assert int(report.k) == 2 and float(report.penalty) == float(report.z) == 0.0
    assert (float(report.logit_min), float(report.logit_max), float(report.temperature)) == (-1.0, 0.5, 1.0)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((0,), "num_experts must be positive; received 0"),
        ((3, "row"), r"mode of the fusion must be one of \('vector', 'bit'\); received 'row'"),
        ((3, "bit", "relu"), "activation of the fusion must be one of .*'sparsemax'.*; received 'relu'"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        SparseFusion(*arguments)


def test_wrong_number_of_outputs():
    with pytest.raises(ValueError, match="a fusion of 3 experts needs as many outputs; received 2"):
        built("vector", "softmax")(outputs_of()[:2])
