import keras
import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.gates import NoisyCosineGate
from ada_ensemble_tf.moe import SparseMoE

FIELDS, WIDTH, ROWS = 3, 6, 20
EXPERTS = ("dense", "gated_dense", "cross")


def made(dispatcher="sparse", **options):
    """A layer with random weights, always the same."""
    gate = None if dispatcher.endswith("fusion") else NoisyCosineGate(len(EXPERTS), noise=0.0)
    layer = SparseMoE(EXPERTS, FIELDS, gate=gate, dispatcher=dispatcher, **{"normalization": "none"} | options)
    layer.build((None, WIDTH), (None, WIDTH))
    rng = np.random.default_rng(1)
    for weight in layer.weights:
        if weight.dtype == "float32":
            value = 0.7 * rng.normal(size=weight.shape)
            weight.assign(np.abs(value) + 0.1 if weight.path.endswith("variance") else value)
    return layer


def rows(count=ROWS):
    return 2.0 * tf.random.stateless_normal([2, count, WIDTH], [8, 8]) + 1.0


def norm(x, gamma=1.0, beta=0.0, of=None):
    of = x if of is None else of
    return (x - of.mean(axis=0)) / np.sqrt(of.var(axis=0) + 1e-3) * gamma + beta


def dense(expert, x, activate=True):
    sums = x @ expert.dense.kernel.numpy() + expert.dense.bias.numpy()
    return np.maximum(sums, 0.0) if activate else sums


def excitation(expert, x0):
    return 2.0 / (1.0 + np.exp(-dense_of(expert.excite, np.maximum(dense_of(expert.squeeze, x0), 0.0))))


def dense_of(layer, x):
    return x @ layer.kernel.numpy() + layer.bias.numpy()


def outputs_of(layer, x0, x):
    """NumPy: each expert's output in training for all rows, statistics of the rows that are routed to it."""
    gates = layer.gate(tf.constant(x0, tf.float32), k=2)[0].numpy()
    found = []
    for j, expert in enumerate(layer.experts):
        seen0, seen = x0, x
        if layer.normalization == "pre":
            seen0, seen = (
                norm(r, n.gamma.numpy(), n.beta.numpy())
                for r, n in zip((x0, x), (layer.pre_norms["x0"], layer.pre_norms["x"]), strict=True)
            )
        if layer.expert_normalization == "input":
            seen0, seen = (
                norm(r, n.gamma[j].numpy(), n.beta[j].numpy())
                for r, n in zip((seen0, seen), (layer.expert_norms["x0"], layer.expert_norms["x"]), strict=True)
            )
        before = layer.expert_normalization == "pre_activation"
        if expert.name == "cross":
            output = seen0 * dense(expert, seen, activate=False)
        elif before:
            output = dense(expert, seen, activate=False)
        else:
            output = dense(expert, seen) * (excitation(expert, seen0) if expert.name == "gated_dense" else 1.0)
        if layer.output_norms:
            bn = layer.output_norms[j]
            output = norm(output, bn.gamma.numpy(), bn.beta.numpy(), of=output[gates[:, j] > 0])
        if before and expert.name != "cross":
            output = np.maximum(output, 0.0) * (excitation(expert, seen0) if expert.name == "gated_dense" else 1.0)
        found.append(output)
    return gates, np.stack(found, axis=1)


SHAPES = [
    {"normalization": "pre"},
    {"expert_normalization": "input"},
    {"expert_normalization": "output"},
    {"expert_normalization": "pre_activation"},
    {"normalization": "pre", "expert_normalization": "input", "expert_scale": "k"},
]


@pytest.mark.parametrize("options", SHAPES)
def test_training_by_numpy_and_with_the_dense_dispatcher(options):
    x0, x = rows()
    gates, outputs = outputs_of(made(**options), x0.numpy().astype(float), x.numpy().astype(float))
    factor = 2.0 if options.get("expert_scale") == "k" else 1.0
    expected = x + factor * np.einsum("be,bem->bm", gates, outputs)
    results = []
    for dispatcher in ("sparse", "dense"):
        layer = made(dispatcher, **options)
        variables = [v.value for v in layer.trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch([x0, x])
            output = layer(x0, x, k=2, training=True)[0]
            loss = tf.reduce_sum(output * tf.random.stateless_normal(x.shape, [3, 3]))
        np.testing.assert_allclose(output, expected, rtol=1e-3, atol=1e-4)
        gradients = tape.gradient(loss, [x0, x, *variables], unconnected_gradients="zero")
        results.append([*gradients, *(v for v in layer.non_trainable_variables if v.dtype == "float32")])
    for sparse, dense_twin in zip(*results, strict=True):
        np.testing.assert_allclose(sparse, dense_twin, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("options", SHAPES)
def test_inference_with_moving_statistics(options):
    x0, x = rows()
    sparse, dense_twin = made(**options), made("dense", **options)
    gates = sparse.gate(x0, k=2)[0]
    factor = 2.0 if options.get("expert_scale") == "k" else 1.0
    expected = x + factor * tf.einsum("be,bem->bm", gates, tf.stack(sparse.expert_outputs(x0, x), axis=1))
    np.testing.assert_allclose(sparse(x0, x, k=2)[0], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(dense_twin(x0, x, k=2)[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", SHAPES)
def test_experts_and_layers_without_rows(options):
    for dispatcher in ("sparse", "dense"):
        layer = made(dispatcher, **options)
        layer.gate.choices.assign(tf.ones_like(layer.gate.choices))  # All rows keep the first expert.
        before = [v.numpy() for v in layer.non_trainable_variables]
        for count in (0, 1):
            x0, x = rows(count)
            output, _, flops = layer(x0, x, k=1, training=True)
            assert output.shape == (count, WIDTH) and np.isfinite(output).all() and (float(flops) > 0.0) == (count > 0)
        for value, variable in zip(before, layer.non_trainable_variables, strict=True):
            if "seed" not in variable.path:
                np.testing.assert_array_equal(variable, value)


def test_a_fusion_normalises_over_all_rows():
    layer = made("vector_fusion", expert_normalization="output")
    x0, x = rows()
    outputs = layer.expert_outputs(x0, x, training=True)
    for bn, output in zip(layer.output_norms, outputs, strict=True):
        np.testing.assert_allclose(np.mean(output, axis=0), bn.beta, rtol=1e-3, atol=1e-4)


def test_no_expert_reads_x0():
    layer = SparseMoE(["dense"], FIELDS, "pre", expert_normalization="input")
    layer(*rows(), k=1)
    assert list(layer.pre_norms) == list(layer.expert_norms) == ["x"]


@pytest.mark.parametrize("options", SHAPES[1:])
def test_keras_round_trip(options, tmp_path):
    x0, x = keras.Input((WIDTH,)), keras.Input((WIDTH,))
    model = keras.Model([x0, x], SparseMoE(EXPERTS, FIELDS, **{"normalization": "none"} | options)(x0, x, k=2)[0])
    for norm_weight in model.weights:
        if norm_weight.path.endswith("gamma"):
            norm_weight.assign(np.random.default_rng(2).normal(size=norm_weight.shape))
    model.save(tmp_path / "moe.keras")
    again, inputs = keras.models.load_model(tmp_path / "moe.keras"), list(rows(5))
    np.testing.assert_array_equal(model(inputs), again(inputs))


def test_wrong_arguments():
    with pytest.raises(ValueError, match="expert_normalization must be 'none', 'input', .* received 'inputs'"):
        SparseMoE(["cross"], FIELDS, expert_normalization="inputs")
